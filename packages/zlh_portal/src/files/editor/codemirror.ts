/** CodeMirror as this page uses it: its colours, its keys, and the language that a name tells. */
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, foldGutter, foldKeymap, HighlightStyle, indentOnInput, LanguageDescription, syntaxHighlighting } from "@codemirror/language";
import { languages } from "@codemirror/language-data";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import { crosshairCursor, drawSelection, dropCursor, EditorView, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, keymap, lineNumbers, rectangularSelection } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const look = EditorView.theme({
  "&": { height: "100%", fontSize: "13px", color: "var(--mantine-color-text)", backgroundColor: "var(--mantine-color-body)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mantine-font-family-monospace)", lineHeight: "1.55" },
  ".cm-content": { caretColor: "var(--mantine-color-text)" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--mantine-color-text)" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--mantine-color-dimmed)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "light-dark(rgba(79, 91, 213, 0.07), rgba(150, 160, 255, 0.09))" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "light-dark(#d5daf8, #363d68)" },
  ".cm-selectionMatch": { backgroundColor: "light-dark(#fff0b8, #57491a)" },
  ".cm-searchMatch": { backgroundColor: "light-dark(#ffe58a, #6b5a17)" },
  ".cm-searchMatch-selected": { backgroundColor: "light-dark(#ffc24d, #94702a)" },
  ".cm-panels": { backgroundColor: "light-dark(var(--mantine-color-gray-0), var(--mantine-color-dark-6))", color: "var(--mantine-color-text)" },
  ".cm-panels input, .cm-panels button": { color: "var(--mantine-color-text)", backgroundColor: "var(--mantine-color-body)", backgroundImage: "none", border: "1px solid var(--mantine-color-default-border)", borderRadius: "4px" },
  ".cm-foldPlaceholder": { backgroundColor: "transparent", border: "1px solid var(--mantine-color-default-border)", color: "var(--mantine-color-dimmed)" },
  ".cm-specialChar": { color: "light-dark(#c02626, #ff8787)" },
});

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.modifier, tags.operatorKeyword, tags.controlKeyword], color: "light-dark(#7b2fb5, #cba6f7)" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "light-dark(#18794e, #8fd19e)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "light-dark(#b0561b, #f5b27a)" },
  { tag: [tags.comment, tags.meta], color: "light-dark(#6b7280, #8b93a7)", fontStyle: "italic" },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName)], color: "light-dark(#2456c7, #8fb4ff)" },
  { tag: [tags.typeName, tags.className, tags.namespace, tags.tagName], color: "light-dark(#0b7285, #79d2e6)" },
  { tag: [tags.propertyName, tags.attributeName, tags.labelName], color: "light-dark(#3b4cc0, #a9b4ff)" },
  { tag: tags.heading, fontWeight: "bold", color: "light-dark(#2456c7, #8fb4ff)" },
  { tag: [tags.link, tags.url], textDecoration: "underline" },
  { tag: tags.strong, fontWeight: "bold" },
  { tag: tags.emphasis, fontStyle: "italic" },
  { tag: tags.invalid, color: "light-dark(#c02626, #ff8787)" },
]);

/** Return what every view of a text has. */
export function basics(isReadOnly: boolean): Extension[] {
  return [
    look, syntaxHighlighting(colours), lineNumbers(), highlightSpecialChars(), drawSelection(), EditorView.lineWrapping,
    EditorState.readOnly.of(isReadOnly), EditorState.allowMultipleSelections.of(true),
  ];
}

/** Return what one that is written in has besides; Escape and then Tab leaves it. */
export function writing(onSave: () => void): Extension[] {
  return [
    history(), foldGutter(), dropCursor(), indentOnInput(), bracketMatching(), rectangularSelection(), crosshairCursor(), highlightActiveLine(), highlightActiveLineGutter(), highlightSelectionMatches(), search({ top: true }),
    keymap.of([{ key: "Mod-s", preventDefault: true, run: () => (onSave(), true) }, ...searchKeymap, ...defaultKeymap, ...historyKeymap, ...foldKeymap, indentWithTab]),
  ];
}

/** What of a view goes by whether one may write; in a compartment, since that changes while a text is open. */
export function usable(isReadOnly: boolean, onSave: () => void): Extension {
  return [basics(isReadOnly), isReadOnly ? [] : writing(onSave)];
}

/** Return where a language is put, once it is there. */
export function languageOf(name: string, onLoaded: (language: Extension) => void): void {
  const found = LanguageDescription.matchFilename(languages, name);
  found?.load().then(onLoaded, () => undefined);
}

export function nameOfLanguage(name: string): string {
  return LanguageDescription.matchFilename(languages, name)?.name ?? "Plain text";
}

export { Compartment, EditorState, EditorView };
export type { Extension };
