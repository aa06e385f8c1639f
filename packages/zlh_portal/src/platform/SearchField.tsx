/** A search that is asked of the API once one stops typing; it is kept in the address. */
import { TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useSearchParams } from "react-router";
import { SearchIcon } from "../layout/icons";
import { useFilterText } from "../layout/useFilterText";

const PAUSE_MS = 250;
const MOST_CHARS = 100;

export function useSearch(): string {
  const [parameters] = useSearchParams();
  return parameters.get("q") ?? "";
}

export function SearchField({ label }: { label: string }) {
  const [parameters, setParameters] = useSearchParams();
  const [text, setText] = useFilterText(parameters.get("q") ?? "");
  const search = useDebouncedCallback((q: string) => setParameters(q ? { q } : {}, { replace: true }), PAUSE_MS);
  return (
    <TextInput
      aria-label={label} placeholder={label} type="search" maxLength={MOST_CHARS} leftSection={<SearchIcon />} flex="1 1 220px" value={text}
      onChange={(event) => {
        setText(event.currentTarget.value);
        search(event.currentTarget.value.trim());
      }}
    />
  );
}
