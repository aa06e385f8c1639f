/** Their text and one's own, side by side; one's own can be made into what is saved. */
import { MergeView } from "@codemirror/merge";
import { Button, Group, Modal, Stack, Text } from "@mantine/core";
import { useEffect, useEffectEvent, useRef } from "react";
import { isolate } from "../../layout/words";
import { showName } from "../names";
import { basics, languageOf, type Extension, writing } from "./codemirror";
import classes from "./editor.module.css";

interface Props {
  name: string;
  theirs: string;
  mine: string;
  onSave: (text: string) => void;
  onTakeTheirs: () => void;
  onClose: () => void;
}

export function CompareDialog({ name, theirs, mine, onSave, onTakeTheirs, onClose }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<MergeView | null>(null);
  const save = () => {
    if (view.current) onSave(view.current.b.state.doc.toString());
  };
  const show = useEffectEvent((parent: HTMLElement, language: Extension) => {
    view.current?.destroy();
    view.current = new MergeView({
      parent, a: { doc: theirs, extensions: [basics(true), language] }, b: { doc: view.current?.b.state.doc.toString() ?? mine, extensions: [basics(false), writing(save), language] },
      revertControls: "a-to-b", gutter: true,
    });
  });
  useEffect(() => {
    const parent = host.current;
    if (!parent) return;
    show(parent, []);
    languageOf(name, (language) => {
      if (view.current) show(parent, language);
    });
    return () => {
      view.current?.destroy();
      view.current = null;
    };
  }, [name]);
  return (
    <Modal opened onClose={onClose} title={`${isolate(showName(name))}: theirs and mine`} size="90%" transitionProps={{ duration: 0 }}>
      <Stack gap="xs">
        <div className={classes["sides"]}><Text size="xs" fw={600}>Theirs, as it is on the disk</Text><Text size="xs" fw={600}>Mine, which can be changed here</Text></div>
        <div ref={host} className={classes["compare"]} data-testid="compare" />
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>Back</Button>
          <Button variant="default" onClick={onTakeTheirs}>Take theirs, drop mine</Button>
          <Button onClick={save}>Save the right side</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
