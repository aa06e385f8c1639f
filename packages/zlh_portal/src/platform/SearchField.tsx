/** A search that is asked of the API once one stops typing; it is kept in the address. */
import { TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useSearchParams } from "react-router";
import { useParameters } from "../layout/address";
import { SearchIcon } from "../layout/icons";
import { useFilterText } from "../layout/useFilterText";

const PAUSE_MS = 250;
const MOST_CHARS = 100;

export function useSearch(): string {
  const [parameters] = useSearchParams();
  return parameters.get("q") ?? "";
}

export function SearchField({ label }: { label: string }) {
  const { parameters, set } = useParameters();
  const setSoon = useDebouncedCallback((name: string, text: string | null) => set(name, text?.trim() ?? null), PAUSE_MS);
  const [text, setText] = useFilterText({ parameters, set: setSoon });
  return (
    <TextInput
      aria-label={label} placeholder={label} type="search" maxLength={MOST_CHARS} leftSection={<SearchIcon />} flex="1 1 220px"
      value={text} onChange={(event) => setText(event.currentTarget.value)}
    />
  );
}
