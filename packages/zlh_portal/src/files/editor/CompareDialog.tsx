/** Their text and one's own, side by side; one's own can be made into what is saved. */
import { MergeView } from "@codemirror/merge";
import { Button, Group, Stack, Text } from "@mantine/core";
import { useEffect, useEffectEvent, useRef } from "react";
import { isolate } from "../../layout/words";
import { showName } from "../names";
import { basics, EditorView, type Extension, languageOf, writing } from "./codemirror";
import classes from "./editor.module.css";
import { Modal } from "../../layout/Modal";

interface Props {
  name: string;
  theirs: string;
  mine: string;
  onSave: (text: string) => void;
  onTakeTheirs: () => void;
  onClose: () => void;
}

export function CompareDialog({ name, theirs, mine, onSave, onTakeTheirs, onClose }: Props) {
  const view = useRef<MergeView | null>(null);
  const save = () => {
    if (view.current) onSave(view.current.b.state.doc.toString());
  };
  return (
    <Modal opened onClose={onClose} title={`${isolate(showName(name))}: theirs and mine`} size="90%" transitionProps={{ duration: 0 }}>
      <Stack gap="xs">
        <div className={classes["sides"]}><Text size="xs" fw={600}>Theirs, as it is on the disk</Text><Text size="xs" fw={600}>Mine, which can be changed here</Text></div>
        <Sides name={name} theirs={theirs} mine={mine} onShown={(shown) => { view.current = shown; }} onSave={save} />
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>Back</Button>
          <Button variant="default" onClick={onTakeTheirs}>Take theirs, drop mine</Button>
          <Button onClick={save}>Save the right side</Button>
        </Group>
      </Stack>
    </Modal>
  );
}

interface SidesProps extends Pick<Props, "name" | "theirs" | "mine"> {
  /** Hears which view there is now. */
  onShown: (view: MergeView | null) => void;
  onSave: () => void;
}

const named = (label: string): Extension => EditorView.contentAttributes.of({ "aria-label": label });

/** By itself, since a window has its content later than it is opened. */
function Sides({ name, theirs, mine, onShown, onSave }: SidesProps) {
  const host = useRef<HTMLDivElement>(null);
  const show = useEffectEvent((parent: HTMLElement, text: string, language: Extension) => new MergeView({
    parent, a: { doc: theirs, extensions: [basics(true), named("Theirs"), language] }, b: { doc: text, extensions: [basics(false), writing(() => onSave()), named("Mine"), language] }, revertControls: "a-to-b", gutter: true,
  }));
  const first = useEffectEvent((parent: HTMLElement) => show(parent, mine, []));
  const tell = useEffectEvent(onShown);
  useEffect(() => {
    const parent = host.current;
    if (!parent) return;
    let shown = first(parent);
    let isOver = false;
    tell(shown);
    languageOf(name, (language) => {
      if (isOver) return;
      const text = shown.b.state.doc.toString();
      shown.destroy();
      shown = show(parent, text, language);
      tell(shown);
    });
    return () => {
      isOver = true;
      shown.destroy();
    };
  }, [name]);
  return <div ref={host} className={classes["compare"]} data-testid="compare" />;
}
