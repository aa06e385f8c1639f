/** Which container this is, how it is, and its switch. */
import { ActionIcon, Group, Text, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import type { ContainerStatus } from "../api/types";
import { AddressLink } from "../layout/AddressLink";
import { PencilIcon } from "../layout/icons";
import { useRights } from "../session/session";
import { PowerButtons } from "./PowerButtons";
import { RenameModal } from "./RenameModal";
import { StateBadge } from "./StateBadge";

export function DetailHeader({ status }: { status: ContainerStatus }) {
  const may = useRights(status);
  const [isRenaming, { open, close }] = useDisclosure(false);
  return (
    <Group justify="space-between" align="flex-start" gap="sm">
      <div>
        <Group gap="xs">
          <Title order={1} style={{ overflowWrap: "anywhere" }}>{status.name}</Title>
          {may.change && <ActionIcon variant="subtle" color="gray" aria-label="Rename" onClick={open}><PencilIcon /></ActionIcon>}
          <StateBadge status={status} />
        </Group>
        <Group gap="sm" mt={2} mih={24}>
          <Text size="sm" c="dimmed" className="numbers">{status.kind} · {status.vmid}</Text>
          {status.game?.address ? <AddressLink address={status.game.address} /> : status.kind === "dev" && status.url && <AddressLink address={status.url} />}
        </Group>
      </div>
      {may.power && <PowerButtons status={status} mayKill={false} />}
      {isRenaming && <RenameModal status={status} onClose={close} />}
    </Group>
  );
}
