/** What a game asks to be agreed to, with the way to its text. */
import { Anchor, Checkbox } from "@mantine/core";
import { safeHttpUrl } from "../api/link";
import type { Eula } from "../api/types";
import { Name } from "../layout/Name";

interface Props {
  eula: Eula;
  agrees: boolean;
  error?: string | undefined;
  onChange: (agrees: boolean) => void;
}

export function Agreement({ eula, agrees, error, onChange }: Props) {
  const url = safeHttpUrl(eula.url);
  const title = <Name text={eula.title} />;
  return (
    <Checkbox
      data-testid="agreement" error={error} checked={agrees} onChange={(event) => onChange(event.currentTarget.checked)}
      label={<>I agree to {url ? <Anchor href={url.href} target="_blank" rel="noopener noreferrer" inherit underline="always">{title}</Anchor> : <>{title}, <Name text={eula.url} /></>}</>}
      description="The game asks for it before anything of it is installed. That you have agreed, and when, is kept with the container."
    />
  );
}
