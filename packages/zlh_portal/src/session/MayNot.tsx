/** Says why somebody may not act here; nothing where they may. What one may not do is not shown, and this stands instead. */
import { Text } from "@mantine/core";
import type { Permission } from "../api/types";
import { useWhyNot } from "./session";

export function MayNot({ permission, customerId }: { permission: Permission; customerId: string | null }) {
  const reason = useWhyNot(permission, customerId);
  return reason === null ? null : <Text size="sm" c="dimmed" style={{ overflowWrap: "anywhere" }} data-testid="may-not">{reason}</Text>;
}
