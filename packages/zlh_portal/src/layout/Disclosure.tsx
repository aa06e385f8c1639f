/** A part of a form or page that is there for who asks for it. */
import { Button, Collapse } from "@mantine/core";
import { useId } from "@mantine/hooks";
import type { ReactNode } from "react";
import classes from "./Disclosure.module.css";

interface Props {
  label: string;
  isOpen: boolean;
  onToggle: () => void;
  children: ReactNode;
  testId?: string;
}

export function Disclosure({ label, isOpen, onToggle, children, testId }: Props) {
  const id = useId();
  return (
    <div>
      <Button
        variant="subtle" color="gray" size="compact-sm" ml={-8} classNames={{ root: classes["root"] ?? "", label: classes["label"] ?? "" }}
        aria-expanded={isOpen} aria-controls={id} onClick={onToggle} data-testid={testId}
      >
        {isOpen ? "▾" : "▸"} {label}
      </Button>
      <Collapse expanded={isOpen} id={id}>{children}</Collapse>
    </div>
  );
}
