/** Which version of a mod is to be had: the newest within a channel, or one by its name. */
import { Input, SegmentedControl, Select, Stack } from "@mantine/core";
import { Problem } from "../layout/Problem";
import { capitalize } from "../layout/words";
import { useModVersions } from "./queries";
import { CHANNELS, type Choice, describeOffered, versionsWithin } from "./words";

const NEWEST = "newest";

interface Props {
  vmid: number;
  project: string;
  /** The version that is there. */
  installed: string | null;
  value: Choice;
  onChange: (choice: Choice) => void;
}

export function VersionChoice({ vmid, project, installed, value, onChange }: Props) {
  const offered = useModVersions(vmid, project);
  const within = versionsWithin(offered.data?.items ?? [], value.channel);
  const options = within.map((version) => ({ value: version.versionId, label: describeOffered(version, version.versionId === installed), disabled: version.trouble !== null }));
  return (
    <Stack gap="sm">
      <Input.Wrapper label="Channel" labelElement="div" description="How finished a version must be, by the word of its author.">
        <SegmentedControl
          fullWidth mt={4} aria-label="Channel" data-testid="mod-channel" value={value.channel} data={CHANNELS.map((channel) => ({ value: channel, label: capitalize(channel) }))}
          onChange={(channel) => onChange({ channel: CHANNELS.find((each) => each === channel) ?? "release", versionId: null })}
        />
      </Input.Wrapper>
      {offered.error ? <Problem error={offered.error} title="Its versions cannot be listed" onRetry={() => void offered.refetch()} /> : (
        <Select
          label="Version" data-testid="mod-version" allowDeselect={false} searchable={options.length > 8} disabled={offered.isPending} value={value.versionId ?? NEWEST}
          data={[{ value: NEWEST, label: "The newest that fits" }, ...options]} onChange={(next) => onChange({ ...value, versionId: next === null || next === NEWEST ? null : next })}
        />
      )}
    </Stack>
  );
}
