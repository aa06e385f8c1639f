/** One process in the list. */
import { Anchor, Button, Group, Paper, Stack, Text } from "@mantine/core";
import { useState } from "react";
import { Link } from "react-router";
import type { Process } from "../api/types";
import type { Rights } from "../session/permissions";
import { joinWords } from "./argv";
import { DeleteProcess } from "./DeleteProcess";
import { ProcessActions } from "./ProcessActions";
import { ProcessNotes } from "./ProcessNotes";
import { ProcessState } from "./ProcessState";
import { Name } from "../layout/Name";

interface Props {
  vmid: number;
  process: Process;
  may: Rights;
  onEdit: () => void;
}

export function ProcessCard({ vmid, process, may, onEdit }: Props) {
  const [isDeleting, setDeleting] = useState(false);
  return (
    <Paper component="li" data-testid={`process-${process.name}`}>
      <Stack gap={6}>
        <Group justify="space-between" gap="xs">
          <Group gap="sm" miw={0}>
            <Anchor component={Link} to={`/containers/${vmid}/processes/${process.name}`} fw={600} c="inherit" lineClamp={2} style={{ overflowWrap: "anywhere" }}><Name text={process.name} /></Anchor>
            <ProcessState process={process} />
          </Group>
          {may.power && (
            <Group gap={6}>
              <ProcessActions vmid={vmid} process={process} />
            </Group>
          )}
        </Group>
        <Text size="sm" className="mono" lineClamp={2} title={joinWords(process.argv)}>{joinWords(process.argv)}</Text>
        <ProcessNotes vmid={vmid} process={process} mayRestart={may.power} />
        <Group gap={6} ml={-8}>
          {may.console && <Button component={Link} to={`/containers/${vmid}/processes/${process.name}`} size="compact-sm" variant="subtle" aria-label={`Console of ${process.name}`}>Console</Button>}
          {may.change && <Button size="compact-sm" variant="subtle" color="gray" aria-label={`Edit ${process.name}`} onClick={onEdit}>Edit</Button>}
          {may.change && <Button size="compact-sm" variant="subtle" color="red" c="red" aria-label={`Delete ${process.name}`} onClick={() => setDeleting(true)}>Delete</Button>}
        </Group>
      </Stack>
      {isDeleting && <DeleteProcess vmid={vmid} name={process.name} onClose={() => setDeleting(false)} />}
    </Paper>
  );
}
