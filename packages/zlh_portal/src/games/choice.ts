/** The choice that a form for a new game server holds; pure. */
import type { CreateContainer, GameValue, TemplateOffer } from "../api/types";
import { beginningVersion } from "./offers";
import { changedValues, complainAboutAll, fillValues } from "./variables";

export interface GameChoice {
  template: string | null;
  version: string | null;
  variables: Record<string, GameValue>;
  agrees: boolean;
}

/** Return the choice that begins with a template: its default version and values, and nothing agreed to. */
export function beginGame(offer: TemplateOffer | undefined): GameChoice {
  return { template: offer?.name ?? null, version: beginningVersion(offer), variables: fillValues(offer?.variables ?? []), agrees: false };
}

/** Return what is sent: values that are the template's own are left out, so that its defaults hold. */
export function wishOfGame(choice: GameChoice, offer: TemplateOffer | undefined): Pick<CreateContainer, "template" | "version" | "variables" | "acceptEula"> {
  const variables = offer?.variables ?? [];
  return {
    template: choice.template, version: choice.version, variables: changedValues(variables, fillValues(variables), choice.variables),
    acceptEula: offer?.eula != null && choice.agrees,
  };
}

/** Return what keeps a choice from being sent, by the names of its variables. */
export function complainAboutGame(choice: GameChoice, offer: TemplateOffer | undefined): Record<string, string> {
  return complainAboutAll(offer?.variables ?? [], choice.variables);
}
