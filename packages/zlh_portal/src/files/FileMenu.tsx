/** The menu of what can be done with the chosen entries, where the mouse or the keyboard asked for it. */
import { Menu, Text } from "@mantine/core";
import { type Action, KEYS, LABELS } from "./actions";

interface Props {
  at: { x: number; y: number } | null;
  /** What it is about. */
  title: string;
  actions: readonly Action[];
  onAct: (action: Action) => void;
  onClose: () => void;
}

export function FileMenu({ at, title, actions, onAct, onClose }: Props) {
  return (
    <Menu opened={at !== null} onClose={onClose} position="bottom-start" offset={2} width={220} shadow="md" returnFocus={false}>
      <Menu.Target><div role="button" aria-hidden="true" style={{ position: "fixed", left: at?.x ?? 0, top: at?.y ?? 0, width: 1, height: 1, pointerEvents: "none" }} /></Menu.Target>
      <Menu.Dropdown aria-label={`Actions for ${title}`}>
        <Menu.Label><Text span size="xs" truncate display="block"><bdi>{title}</bdi></Text></Menu.Label>
        {actions.map((action) => (
          <Menu.Item key={action} {...(action === "delete" ? { color: "red" } : {})} rightSection={<Text span size="xs" c="dimmed">{KEYS[action]}</Text>} onClick={() => onAct(action)}>{LABELS[action]}</Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
