/** The files of a container: why there are none to see, or the folder that the address names. */
import { Alert, Button, Paper, Skeleton, Stack, Text, Title } from "@mantine/core";
import { Suspense } from "react";
import { useSearchParams } from "react-router";
import { asApiError } from "../api/problem";
import type { ContainerStatus } from "../api/types";
import { usePower } from "../containers/queries";
import { lazily } from "../layout/lazily";
import { Problem } from "../layout/Problem";
import { MayNot } from "../session/MayNot";
import { useRights, useWhyNot } from "../session/session";
import { type Address, parseAddress, renderAddress } from "./address";
import { adviseOn, findAbsence } from "./availability";
import type { FileRoot } from "../api/types";
import { FolderView } from "./FolderView";
import { useRoots } from "./queries";

// The editor and all languages are large, and most visits only look.
const EditorView = lazily("EditorView", () => import("./editor/EditorView"));

export function FilesTab({ status }: { status: ContainerStatus }) {
  const [query] = useSearchParams();
  const mayRead = useWhyNot("files:read", status.customerId) === null;
  const absence = findAbsence(status);
  const isThere = mayRead && absence === null;
  const roots = useRoots(status.vmid, isThere);
  if (!mayRead) return <MayNot permission="files:read" customerId={status.customerId} />;
  // What is written in an open file is nowhere else: it stays while the container is away.
  const isKept = parseAddress(query).open !== null && roots.data !== undefined;
  if (absence && !isKept) return <Absent status={status} />;
  if (roots.error && !roots.data) {
    const advice = adviseOn(asApiError(roots.error).code);
    return (
      <Stack gap="sm">
        <Problem error={roots.error} title="The files cannot be shown" onRetry={() => void roots.refetch()} />
        {advice && <Text size="sm" c="dimmed">{advice}</Text>}
      </Stack>
    );
  }
  if (!roots.data) return <Skeleton h={420} role="status" aria-label="Loading the files" />;
  return (
    <Stack gap="sm">
      {absence && <Absent status={status} isBeside />}
      <Placed status={status} roots={roots.data.roots} chunkBytes={roots.data.uploadChunkBytes} />
    </Stack>
  );
}

/** Why there are no files to see; in place of them, or in a strip above a text that is open. */
function Absent({ status, isBeside = false }: { status: ContainerStatus; isBeside?: boolean }) {
  const power = usePower(status.vmid);
  const may = useRights(status);
  const absence = findAbsence(status);
  const start = absence?.mayStart && may.power && <Button {...(isBeside ? { size: "compact-sm", variant: "default" } : {})} mt={isBeside ? "xs" : "md"} loading={power.isPending} onClick={() => power.mutate("start")}>Start it</Button>;
  if (isBeside) {
    return (
      <Alert color="orange" title={absence?.title} role="status" data-testid="files-away">
        <Text size="sm">What you have written stays on this page{status.lifecycle === "deleting" ? " alone, and cannot be saved there any more: copy what you need." : ", and can be saved once the container is back."}</Text>
        {start}
      </Alert>
    );
  }
  return (
    <Paper p="xl" ta="center" data-testid="files-absent">
      <Title order={2}>{absence?.title}</Title>
      <Text size="sm" c="dimmed" mt={4}>{absence?.reason}</Text>
      {start}
    </Paper>
  );
}

function Placed({ status, roots, chunkBytes }: { status: ContainerStatus; roots: readonly FileRoot[]; chunkBytes: number }) {
  const [query, setQuery] = useSearchParams();
  const address = parseAddress(query);
  const root = roots.find(({ name }) => name === address.root) ?? (address.root === null ? (roots.find(({ isDefault }) => isDefault) ?? roots[0]) : undefined);
  const may = useWhyNot("files:write", status.customerId) === null && status.lifecycle !== "deleting";
  const goTo = (to: Partial<Address>) => setQuery(new URLSearchParams(renderAddress({ root: root?.name ?? null, path: address.path, open: null, line: null, ...to })));
  if (!root) {
    return (
      <Paper p="xl" ta="center">
        <Title order={2}>There is no such root here</Title>
        <Text size="sm" c="dimmed" mt={4}>Files of this container are below {roots.map(({ title }) => title).join(" and ")}.</Text>
        <Button mt="md" onClick={() => goTo({ root: null, path: "" })}>To the files</Button>
      </Paper>
    );
  }
  const place = { vmid: status.vmid, root: root.name };
  return (
    <Suspense fallback={<Skeleton h={420} role="status" aria-label="Loading the editor" />}>
      {address.open !== null ? (
        <EditorView key={`${root.name}/${address.open}`} place={place} path={address.open} line={address.line} mayWrite={may} onClose={() => goTo({})} />
      ) : (
        <FolderView key={root.name} status={status} place={place} roots={roots} root={root} path={address.path} chunkBytes={chunkBytes} mayWrite={may} goTo={goTo} />
      )}
    </Suspense>
  );
}
