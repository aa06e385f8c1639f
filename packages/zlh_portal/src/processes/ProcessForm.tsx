/** The definition of a process; most people need its first three fields. */
import { Alert, Button, Group, Stack, Text, TextInput } from "@mantine/core";
import { useDisclosure, useMediaQuery } from "@mantine/hooks";
import { type SyntheticEvent, useState } from "react";
import { asApiError } from "../api/problem";
import { forgetOutcome } from "../api/query";
import { CommandField } from "./CommandField";
import { ADVANCED, placeRefusal, readDraft, type Draft, type Field, type FormFields, type Problems } from "./draft";
import { EnvironmentFields } from "./EnvironmentFields";
import { PolicyFields } from "./PolicyFields";
import { usePutProcess } from "./queries";
import { Disclosure } from "../layout/Disclosure";
import { Modal } from "../layout/Modal";

interface Props {
  vmid: number;
  draft: Draft;
  isNew: boolean;
  taken: readonly string[];
  onClose: () => void;
}

export function ProcessForm({ vmid, draft: first, isNew, taken, onClose }: Props) {
  const put = usePutProcess(vmid);
  const isPhone = useMediaQuery("(max-width: 40em)");
  const [draft, setDraft] = useState(first);
  const [wasTried, setTried] = useState(false);
  const [isAdvanced, advanced] = useDisclosure(false);
  const { wish, problems: own } = readDraft(draft, isNew ? taken : []);
  const refused = put.error ? placeRefusal(asApiError(put.error)) : null;
  const problems: Problems = { ...(wasTried ? own : {}), ...refused?.problems };
  const change = (more: Partial<Draft>) => {
    forgetOutcome(put);
    setDraft((current) => ({ ...current, ...more }));
  };
  const openWhereHidden = (found: Problems) => {
    if (Object.keys(found).some((field) => ADVANCED.has(field as Field))) advanced.open();
  };
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    setTried(true);
    openWhereHidden(own);
    if (Object.keys(own).length > 0 || put.isPending) return;
    put.mutate({ name: draft.name, wish }, { onSuccess: onClose, onError: (error) => openWhereHidden(placeRefusal(asApiError(error)).problems) });
  };
  const fields: FormFields = { draft, problems, change };
  return (
    <Modal opened onClose={onClose} title={isNew ? "Add process" : `Edit ${draft.name}`} size="lg" fullScreen={isPhone} closeOnClickOutside={false}>
      <form onSubmit={submit} noValidate aria-label={isNew ? "Add process" : `Edit ${draft.name}`}>
        <Stack>
          {refused?.rest && <Alert color="red" role="alert" title="It was not saved" data-testid="problem">{refused.rest}</Alert>}
          {isNew && (
            <TextInput
              label="Name" placeholder="web" description="Small letters, digits and dashes." autoComplete="off" spellCheck={false} data-autofocus maxLength={64}
              value={draft.name} error={problems.name} onChange={(event) => change({ name: event.target.value })}
            />
          )}
          <CommandField {...fields} />
          <TextInput
            label="Folder" description="Where it runs, below the workspace. Empty is the workspace itself." placeholder="my-app" autoComplete="off" spellCheck={false}
            value={draft.folder} error={problems.folder} onChange={(event) => change({ folder: event.target.value })}
          />
          <EnvironmentFields {...fields} />
          <Disclosure label="Advanced" isOpen={isAdvanced} onToggle={advanced.toggle}><PolicyFields {...fields} /></Disclosure>
          {!isNew && <Text size="xs" c="dimmed">If it runs, it keeps running as it was started until you restart it.</Text>}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>Cancel</Button>
            <Button type="submit" loading={put.isPending}>{isNew ? "Add and start" : "Save"}</Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
