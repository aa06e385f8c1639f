/** Finds any container, page or act by a few letters. */
import { Text, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { createSpotlight, Spotlight } from "@mantine/spotlight";
import "@mantine/spotlight/styles.css";
import { useEffect, useState } from "react";
import { useNavigate } from "react-router";
import { asApiError } from "../api/problem";
import { useContainer, useContainers, usePower } from "../containers/queries";
import { SearchIcon } from "../layout/icons";
import { useMe, useRights, useSignOut } from "../session/session";
import { actsFor, type Command, containersAsCommands, OF_THE_PORTAL, pagesFor, rank } from "./commands";

interface Props {
  /** The container whose page is shown. */
  vmid: number | null;
  onKeys: () => void;
  onClose: () => void;
}

export function Palette({ vmid, onKeys, onClose }: Props) {
  return vmid === null ? <Found acts={[]} onKeys={onKeys} onClose={onClose} /> : <AtContainer vmid={vmid} onKeys={onKeys} onClose={onClose} />;
}

function AtContainer({ vmid, onKeys, onClose }: Props & { vmid: number }) {
  const { data: status } = useContainer(vmid);
  return status ? <WithActs status={status} onKeys={onKeys} onClose={onClose} /> : <Found acts={[]} onKeys={onKeys} onClose={onClose} />;
}

function WithActs({ status, ...others }: { status: Parameters<typeof actsFor>[0]; onKeys: () => void; onClose: () => void }) {
  const rights = useRights(status);
  return <Found acts={actsFor(status, rights)} vmid={status.vmid} {...others} />;
}

function Found({ acts, vmid, onKeys, onClose }: { acts: readonly Command[]; vmid?: number; onKeys: () => void; onClose: () => void }) {
  const { data: me } = useMe();
  const { data: items } = useContainers();
  const [search, setSearch] = useState("");
  // One for each time it is opened: what was selected the last time means nothing now.
  const [[store, spotlight]] = useState(createSpotlight);
  const perform = usePerform(vmid ?? 0, onKeys);
  useEffect(() => spotlight.open(), [spotlight]);
  const shown = rank([...acts, ...containersAsCommands(items ?? []), ...pagesFor(me ?? undefined), ...OF_THE_PORTAL], search);
  return (
    <Spotlight.Root
      store={store} shortcut={null} query={search} onQueryChange={setSearch} onSpotlightClose={onClose} scrollable maxHeight="60vh" transitionProps={{ duration: 0 }}
      title="Find a container, a page or an act" data-testid="palette"
    >
      <Spotlight.Search placeholder="A container, a page, an act…" leftSection={<SearchIcon />} aria-label="Find a container, a page or an act" />
      <Spotlight.ActionsList>
        {shown.map((command) => (
          <Spotlight.Action key={command.id} onClick={() => perform(command)}>
            <Text size="sm" fw={550} component="span" style={{ overflowWrap: "anywhere" }}><bdi>{command.label}</bdi></Text>
            <Text size="xs" c="dimmed" component="span" ml={8} className="numbers">{command.hint || command.group}</Text>
          </Spotlight.Action>
        ))}
        {shown.length === 0 && <Spotlight.Empty>Nothing of that name. Try a number, or the first letters of a page.</Spotlight.Empty>}
      </Spotlight.ActionsList>
    </Spotlight.Root>
  );
}

function usePerform(vmid: number, onKeys: () => void) {
  const navigate = useNavigate();
  const power = usePower(vmid);
  const signOut = useSignOut();
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  return ({ deed }: Command) => {
    if (deed === "scheme") setColorScheme(scheme === "dark" ? "light" : "dark");
    else if (deed === "keys") onKeys();
    else if (deed === "sign-out") signOut.mutate();
    else if ("go" in deed) void navigate(deed.go);
    else if ("open" in deed) window.open(deed.open, "_blank", "noopener,noreferrer");
    else power.mutate(deed.power, { onError: (error) => notifications.show({ color: "red", title: `It did not ${deed.power}`, message: asApiError(error).detail }) });
  };
}
