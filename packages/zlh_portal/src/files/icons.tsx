/** What an entry is, as a small picture; its word stands in the row for those who do not see it. */
import type { FileKind } from "../api/types";
import { isArchive } from "./names";

const PATHS = {
  dir: "M3 6.5A1.5 1.5 0 0 1 4.5 5h5l2 2.5h8A1.5 1.5 0 0 1 21 9v9a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 18V6.5z",
  file: "M6 3h8l5 5v13H6V3zM14 3v5h5",
  archive: "M6 3h8l5 5v13H6V3zM14 3v5h5M10 6v2M10 10v2M10 14v3",
  link: "M6 3h8l5 5v13H6V3zM14 3v5h5M9 16.5c0-3 2-4 5-4M12 10.5l2.5 2-2.5 2",
  other: "M12 4l8 8-8 8-8-8 8-8z",
} as const;

export function KindIcon({ kind, name }: { kind: FileKind; name: string }) {
  const picture = kind === "file" && isArchive(name) ? "archive" : kind;
  return (
    <svg width={18} height={18} viewBox="0 0 24 24" fill={kind === "dir" ? "currentColor" : "none"} fillOpacity={0.18} stroke="currentColor" strokeWidth={1.7} strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" data-kind={picture}>
      <path d={PATHS[picture]} />
    </svg>
  );
}
