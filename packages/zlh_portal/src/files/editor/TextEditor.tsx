/** CodeMirror in React: it holds the text itself, and is asked for it. */
import { type Ref, useEffect, useEffectEvent, useImperativeHandle, useRef, useState } from "react";
import { Compartment, EditorState, EditorView, languageOf, usable } from "./codemirror";
import classes from "./editor.module.css";
import type { Text } from "./text";

export interface EditorHandle {
  /** Return the text as it goes into the file, with the line ends that it came with. */
  read: () => string;
  replace: (text: Text) => void;
}

interface Props {
  ref: Ref<EditorHandle>;
  name: string;
  label: string;
  start: Text;
  line: number | null;
  isReadOnly: boolean;
  onSave: () => void;
  onChange: (text: string) => void;
}

export function TextEditor({ ref, name, label, start, line, isReadOnly, onSave, onChange }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const ends = useRef(start.lineEnd);
  const [use] = useState(() => new Compartment());
  const save = useEffectEvent(onSave);
  const changed = useEffectEvent(onChange);

  useImperativeHandle(ref, () => ({
    read: () => (view.current ? readText(view.current, ends.current) : start.text),
    replace: (text) => {
      ends.current = text.lineEnd;
      const editor = view.current;
      if (editor) editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: editor.state.toText(text.text) } });
    },
  }));

  const open = useEffectEvent((parent: HTMLElement) => {
    const language = new Compartment();
    const editor = new EditorView({
      parent,
      state: EditorState.create({
        doc: start.text,
        extensions: [
          use.of(usable(isReadOnly, () => save())), language.of([]),
          // Where lines end in different ways, a line is what ends with \n, and the rest of it stays as it is.
          start.lineEnd === null ? EditorState.lineSeparator.of("\n") : [],
          EditorView.contentAttributes.of({ "aria-label": label }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) changed(readText(update.view, ends.current));
          }),
        ],
      }),
    });
    view.current = editor;
    languageOf(name, (loaded) => {
      if (view.current === editor) editor.dispatch({ effects: language.reconfigure(loaded) });
    });
    if (line !== null && line <= editor.state.doc.lines) {
      const { from } = editor.state.doc.line(line);
      editor.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
    }
    editor.focus();
    return editor;
  });

  useEffect(() => {
    if (!host.current) return;
    const editor = open(host.current);
    return () => {
      view.current = null;
      editor.destroy();
    };
  }, []);

  const turn = useEffectEvent(() => {
    const editor = view.current;
    if (editor && editor.state.readOnly !== isReadOnly) editor.dispatch({ effects: use.reconfigure(usable(isReadOnly, () => save())) });
  });
  // A role may change while a text is open.
  useEffect(() => turn(), [isReadOnly]);

  return <div ref={host} className={classes["text"]} />;
}

function readText({ state }: EditorView, lineEnd: Text["lineEnd"]): string {
  return state.doc.sliceString(0, state.doc.length, lineEnd ?? "\n");
}
