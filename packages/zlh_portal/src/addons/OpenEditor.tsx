/** The way into an addon: a button once it really opens, and until then what that waits for. */
import { Button, Text } from "@mantine/core";
import { safeHttpUrl } from "../api/link";
import type { AddonStatus, ContainerStatus } from "../api/types";
import { useExposures } from "../exposures/queries";
import { useMe } from "../session/session";
import { Said } from "../layout/Said";
import { whatItWaitsFor, whyNotOpen } from "./words";

export function OpenEditor({ addon, status }: { addon: AddonStatus; status: ContainerStatus }) {
  const { data: me } = useMe();
  const { data: exposures } = useExposures(status.vmid);
  const port = exposures?.find((exposure) => exposure.addon === addon.name);
  const barred = port ? whyNotOpen(me, status.customerId, port.publishedBy) : null;
  const url = addon.url === null ? null : safeHttpUrl(addon.url);
  const awaited = url ? null : whatItWaitsFor(addon, status);
  return (
    <div role="status" data-testid={`open-${addon.name}`}>
      {url && !barred && <Button component="a" href={url.href} target="_blank" rel="noopener noreferrer">Open editor</Button>}
      {url && barred && <Text size="sm" c="dimmed">{barred}</Text>}
      {awaited !== null && <Text size="sm" c="dimmed" style={{ overflowWrap: "anywhere" }}><Said text={awaited} /></Text>}
    </div>
  );
}
