/** Uploads that were begun and not ended: here before a reload, or elsewhere. */
import { Alert, Button, Group, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { TimeUntil } from "../../layout/TimeUntil";
import { tellProblem } from "../../layout/tell";
import { formatBytes } from "../../layout/words";
import { discardUpload } from "../calls";
import classes from "../files.module.css";
import { showName } from "../names";
import { useRefreshFiles, useUnfinishedUploads } from "../queries";
import { useUploadState } from "./context";
import { hasEnded } from "./queue";

const SHOWN = 5;

export function Unfinished({ vmid }: { vmid: number }) {
  const query = useUnfinishedUploads(vmid);
  const { items } = useUploadState();
  const refresh = useRefreshFiles(vmid);
  const discard = useMutation({ mutationFn: (id: string) => discardUpload(vmid, id), onSettled: refresh, onError: tellProblem("It was not given up") });
  const mine = new Set(items.filter((item) => !hasEnded(item) && item.vmid === vmid).map(({ root, path }) => `${root}/${path}`));
  const left = (query.data ?? []).filter(({ root, path }) => !mine.has(`${root}/${path}`));
  if (left.length === 0) return null;
  return (
    <Alert color="orange" title={left.length === 1 ? "An upload is unfinished" : `${left.length} uploads are unfinished`} data-testid="unfinished" styles={{ body: { minWidth: 0 } }}>
      <Text size="sm" mb={6}>Upload the same file to the same folder again, and it goes on where it stopped.</Text>
      <ul className={classes["list"]}>
        {left.slice(0, SHOWN).map(({ id, path, size, offset, expiresAt }) => (
          <li key={id}>
            <Group gap="sm" justify="space-between" wrap="nowrap">
              <Text size="sm" truncate miw={0}><bdi>{showName(path)}</bdi></Text>
              <Group gap="sm" wrap="nowrap" flex="none">
                <Text size="xs" c="dimmed" className="numbers" visibleFrom="xs">{formatBytes(offset)} of {formatBytes(size)}, kept until <TimeUntil time={expiresAt} /></Text>
                <Button size="compact-xs" variant="default" loading={discard.isPending && discard.variables === id} onClick={() => discard.mutate(id)}>Give up</Button>
              </Group>
            </Group>
          </li>
        ))}
      </ul>
    </Alert>
  );
}
