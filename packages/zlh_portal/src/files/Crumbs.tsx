/** Where one is: the root, which can be another, and the folders down to this one. */
import { Anchor, Group, Select, Text } from "@mantine/core";
import { Link } from "react-router";
import { renderAddress } from "./address";
import classes from "./files.module.css";
import type { FileRoot } from "../api/types";
import { isolate } from "../layout/words";
import { showName } from "./names";
import { crumbsOf } from "./paths";

interface Props {
  roots: readonly FileRoot[];
  root: FileRoot;
  path: string;
  onRoot: (name: string) => void;
}

export function Crumbs({ roots, root, path, onRoot }: Props) {
  const linkTo = (to: string) => renderAddress({ root: root.name, path: to, open: null, line: null });
  const crumbs = crumbsOf(path);
  return (
    <Group gap={6} wrap="nowrap" miw={0} className={classes["crumbs"] ?? ""}>
      {roots.length > 1 && (
        <Select
          size="xs" w={140} flex="none" aria-label="Root" allowDeselect={false} value={root.name} comboboxProps={{ width: "max-content", position: "bottom-start" }} styles={{ dropdown: { maxWidth: "calc(100vw - 32px)" }, option: { overflowWrap: "anywhere" } }}
          data={roots.map(({ name, title }) => ({ value: name, label: isolate(title) }))} onChange={(name) => name !== null && onRoot(name)}
        />
      )}
      <nav aria-label="Folders" className={classes["path"]}>
        <Anchor component={Link} to={linkTo("")} size="sm" fw={600} aria-current={path === "" ? "page" : undefined}>{roots.length > 1 ? "/" : root.title}</Anchor>
        {crumbs.map(({ name, path: to }, index) => (
          <span key={to}>
            {(index > 0 || roots.length <= 1) && <Text span c="dimmed" mx={3}>/</Text>}
            <Anchor component={Link} to={linkTo(to)} size="sm" fw={600} aria-current={index === crumbs.length - 1 ? "page" : undefined}><bdi>{showName(name)}</bdi></Anchor>
          </span>
        ))}
      </nav>
    </Group>
  );
}
