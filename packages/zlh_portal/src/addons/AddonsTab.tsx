/** Services of the platform in a dev container, such as an editor in the browser. */
import { Paper, Skeleton, Stack, Text, Title } from "@mantine/core";
import type { ContainerStatus } from "../api/types";
import { useAddonCatalog } from "../catalog/queries";
import { ActionButton } from "../layout/ActionButton";
import { Problem } from "../layout/Problem";
import { groupRuntimes, isLeaving } from "../runtimes/rows";
import { MayNot } from "../session/MayNot";
import { useRights } from "../session/session";
import { AddonCard } from "./AddonCard";
import { useAddons, useEnableAddon } from "./queries";
import { CODE_SERVER, titleOfAddon } from "./words";
import { tellProblem } from "../layout/tell";

export function AddonsTab({ status }: { status: ContainerStatus }) {
  const query = useAddons(status);
  const catalog = useAddonCatalog();
  const offers = catalog.data;
  const mayChange = useRights(status).change;
  if (status.kind !== "dev") return <Paper><Text size="sm" c="dimmed">Only dev containers have addons.</Text></Paper>;
  if (query.error && !query.data) return <Problem error={query.error} title="The addons cannot be listed" onRetry={() => void query.refetch()} />;
  const reason = status.lifecycle === "deleting" ? "The container is being deleted." : null;
  const { data } = query;
  const groups = data ? groupRuntimes({ runtimes: data.versions, pending: data.pending, upgrades: data.upgrades }, status, offers ?? []) : [];
  const versionsOf = (addon: string) => groups.find(({ name }) => name === addon) ?? null;
  // What is on its way out can be asked for again.
  const isWanted = status.addons.some(({ name }) => {
    const versions = versionsOf(name);
    return name === CODE_SERVER && !(versions && isLeaving(versions));
  });
  return (
    <Stack gap="md">
      <MayNot permission="containers:change" customerId={status.customerId} />
      {status.addons.map((addon) => (
        <AddonCard key={addon.name} status={status} addon={addon} versions={versionsOf(addon.name)} mayChange={mayChange} reason={reason} />
      ))}
      {!isWanted && !offers && (catalog.error ? <Problem error={catalog.error} title="The catalog cannot be read" onRetry={() => void catalog.refetch()} /> : <Skeleton h={120} role="status" aria-label="Loading the offers" />)}
      {!isWanted && offers && <Offer status={status} isOffered={offers.some(({ name }) => name === CODE_SERVER)} mayChange={mayChange} reason={reason} />}
    </Stack>
  );
}

function Offer({ status, isOffered, mayChange, reason }: { status: ContainerStatus; isOffered: boolean; mayChange: boolean; reason: string | null }) {
  const enable = useEnableAddon(status);
  const act = () =>
    enable.mutate(CODE_SERVER, { onError: tellProblem("It was not enabled") });
  return (
    <Paper data-testid="addon-offer">
      <Title order={2} mb="xs">{titleOfAddon(CODE_SERVER)} <Text span size="sm" c="dimmed" fw={400}>{CODE_SERVER}</Text></Title>
      <Text size="sm" mb="sm">An editor with a terminal in the container, opened in the browser. It opens for you and for owners of the customer, and takes the container's own address.</Text>
      {!isOffered && <Text size="sm" c="dimmed">The catalog of this installation does not have it, so it cannot be enabled. Ask your operator.</Text>}
      {isOffered && mayChange && <ActionButton reason={reason} loading={enable.isPending} onClick={act}>Enable</ActionButton>}
    </Paper>
  );
}
