/** An address that can be opened and copied; one that is no web address stays text. */
import { Anchor, Group, Text } from "@mantine/core";
import { safeHttpUrl } from "../api/link";
import { CopyButton } from "./CopyButton";

export function AddressLink({ address, canCopy = true }: { address: string; canCopy?: boolean }) {
  const url = safeHttpUrl(address);
  return (
    <Group gap={4} wrap="nowrap" miw={0}>
      {url ? (
        <Anchor href={url.href} target="_blank" rel="noopener noreferrer" size="sm" className="mono" truncate>{url.host}{url.pathname === "/" ? "" : url.pathname}</Anchor>
      ) : (
        <Text size="sm" className="mono" style={{ overflowWrap: "anywhere" }}>{address}</Text>
      )}
      {canCopy && <CopyButton text={url?.href ?? address} what="the address" />}
    </Group>
  );
}
