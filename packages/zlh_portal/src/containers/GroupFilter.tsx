/** Which states the list shows, with how many there are of each. */
import { Select } from "@mantine/core";
import type { ContainerStatus } from "../api/types";
import { countGroups, type Group, GROUPS, readGroup } from "./filter";

const LABELS: Readonly<Record<Group, string>> = {
  all: "All states",
  running: "Running",
  busy: "Under way",
  attention: "Needs attention",
  stopped: "Stopped",
};

interface Props {
  items: readonly ContainerStatus[];
  value: Group;
  onChange: (group: Group) => void;
}

export function GroupFilter({ items, value, onChange }: Props) {
  const counts = countGroups(items);
  return (
    <Select
      aria-label="Filter by state" allowDeselect={false} flex="1 1 150px" maw={{ base: "none", sm: 210 }} value={value}
      onChange={(next) => onChange(readGroup(next))}
      data={GROUPS.map((group) => ({ value: group, label: `${LABELS[group]} (${counts[group]})` }))}
    />
  );
}
