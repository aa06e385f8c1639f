/** The few icons of the portal, drawn here so that nothing has to be fetched for them. */
import type { ReactNode } from "react";

function Icon({ children, size = 18 }: { children: ReactNode; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth={2} strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
      {children}
    </svg>
  );
}

export const SunIcon = () => <Icon><circle cx="12" cy="12" r="4" /><path d="M12 3v1M12 20v1M3 12h1M20 12h1M5.6 5.6l.7.7M17.7 17.7l.7.7M5.6 18.4l.7-.7M17.7 6.3l.7-.7" /></Icon>;
export const MoonIcon = () => <Icon><path d="M20 14.5A8 8 0 1 1 9.5 4a6.5 6.5 0 0 0 10.5 10.5z" /></Icon>;
export const PersonIcon = () => <Icon><circle cx="12" cy="8" r="4" /><path d="M5 20c1-4 4-5 7-5s6 1 7 5" /></Icon>;
export const SearchIcon = () => <Icon size={16}><circle cx="11" cy="11" r="6" /><path d="M20 20l-4.5-4.5" /></Icon>;
export const PlusIcon = () => <Icon size={16}><path d="M12 5v14M5 12h14" /></Icon>;
export const CopyIcon = () => <Icon size={14}><rect x="8" y="8" width="12" height="12" rx="2" /><path d="M16 8V6a2 2 0 0 0-2-2H6a2 2 0 0 0-2 2v8a2 2 0 0 0 2 2h2" /></Icon>;
export const CheckIcon = () => <Icon size={14}><path d="M5 12l5 5 9-10" /></Icon>;
export const CrossIcon = () => <Icon size={14}><path d="M6 6l12 12M18 6L6 18" /></Icon>;
export const ClockIcon = () => <Icon size={14}><path d="M12 6v6l4 2" /></Icon>;
export const WarnIcon = () => <Icon size={14}><path d="M12 5v9M12 18.5v.5" /></Icon>;
export const DotIcon = () => <Icon size={14}><circle cx="12" cy="12" r="3" fill="currentColor" /></Icon>;
export const PencilIcon = () => <Icon size={14}><path d="M4 20h4L19 9l-4-4L4 16v4z" /></Icon>;
export const BoxIcon = () => <Icon size={32}><path d="M12 3l8 4.5v9L12 21l-8-4.5v-9L12 3zM4 7.5l8 4.5 8-4.5M12 12v9" /></Icon>;

export function Mark({ size = 28 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="#4f5bd5" />
      <path d="M9 10h14L11.5 22H23" fill="none" stroke="#fff" strokeWidth={3} strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
