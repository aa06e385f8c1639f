/** Finds any container, page or act by a few letters. */
import { Text, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { createSpotlight, Spotlight } from "@mantine/spotlight";
import "@mantine/spotlight/styles.css";
import { type KeyboardEvent, useEffect, useState } from "react";
import { useNavigate } from "react-router";
import { useContainers, usePower } from "../containers/queries";
import { useGame } from "../games/queries";
import { SearchIcon } from "../layout/icons";
import { rightsOn } from "../session/permissions";
import { useMe, useSignOut } from "../session/session";
import classes from "./keyboard.module.css";
import { actsFor, type Command, containersAsCommands, OF_THE_PORTAL, pagesFor, rank } from "./commands";
import { tellProblem } from "../layout/tell";

interface Props {
  /** The container whose page is shown. */
  vmid: number | null;
  onKeys: () => void;
  onClose: () => void;
}

export function Palette({ vmid, onKeys, onClose }: Props) {
  const { data: me } = useMe();
  const { data: items = [] } = useContainers();
  const [search, setSearch] = useState("");
  // One for each time it is opened: what was selected the last time means nothing now.
  const [[store, spotlight]] = useState(createSpotlight);
  const perform = usePerform(vmid ?? 0, onKeys);
  useEffect(() => spotlight.open(), [spotlight]);
  // Of the list, so that the page may change below while somebody types.
  const here = items.find((item) => item.vmid === vmid);
  const { data: game } = useGame(here);
  const acts = here ? actsFor(here, rightsOn(me, here), game?.mods) : [];
  const shown = rank([...acts, ...containersAsCommands(items), ...pagesFor(me ?? undefined), ...OF_THE_PORTAL], search);
  // The library marks the first one in the list as it was when the key came; what has changed since has no mark.
  const takeFirst = (event: KeyboardEvent) => {
    const [first] = shown;
    if (event.key !== "Enter" || event.nativeEvent.isComposing || !first || document.querySelector("[data-action][data-selected]")) return;
    event.preventDefault();
    perform(first);
    spotlight.close();
  };
  return (
    <Spotlight.Root
      store={store} shortcut={null} query={search} onQueryChange={setSearch} onSpotlightClose={onClose} scrollable maxHeight="60vh" transitionProps={{ duration: 0 }}
      title="Find a container, a page or an act" classNames={{ header: "visually-hidden" }} data-testid="palette"
    >
      <Spotlight.Search onKeyDown={takeFirst} placeholder="A container, a page, an act…" leftSection={<SearchIcon />} aria-label="Find a container, a page or an act" />
      <Spotlight.ActionsList>
        {shown.map((command) => (
          <Spotlight.Action key={command.id} onClick={() => perform(command)}>
            <Text size="sm" fw={550} component="span" style={{ overflowWrap: "anywhere" }}><bdi>{command.label}</bdi></Text>
            <Text size="xs" component="span" ml={8} className={`numbers ${classes["hint"]}`}>{command.hint || command.group}</Text>
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
    // By then the palette is closed, and hears of nothing itself.
    else if (deed === "sign-out") signOut.mutateAsync().catch(tellProblem("You are still signed in"));
    else if ("go" in deed) void navigate(deed.go);
    else if ("open" in deed) window.open(deed.open, "_blank", "noopener,noreferrer");
    else power.mutateAsync(deed.power).catch(tellProblem(`It did not ${deed.power}`));
  };
}
