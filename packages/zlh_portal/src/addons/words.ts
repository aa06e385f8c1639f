/** An addon in words: how it is, what its address waits for, and who may open it; pure. */
import type { AddonStatus, ContainerStatus, Me, Step } from "../api/types";
import type { Words } from "../layout/tone";

export const CODE_SERVER = "code-server";
const TITLES: Readonly<Record<string, string>> = { [CODE_SERVER]: "Editor in the browser" };
const OPEN_STEP = "open-code-server";

const STATES: Readonly<Record<AddonStatus["state"], Words>> = {
  installing: { label: "Installing", tone: "busy", meaning: "No version of it runs yet; it is downloaded, unpacked and tried." },
  starting: { label: "Starting", tone: "busy", meaning: "It was started, and does not answer yet." },
  running: { label: "Running", tone: "good", meaning: "It runs and answers in the container." },
  stopping: { label: "Stopping", tone: "busy", meaning: "It was asked to end." },
  stopped: { label: "Stopped", tone: "quiet", meaning: "It does not run." },
  backoff: { label: "Restarting", tone: "warn", meaning: "It has ended, and is started again in a moment." },
  error: { label: "Failed", tone: "bad", meaning: "It does not stay up, and is not started again by itself." },
};

type Standing = Pick<ContainerStatus, "lifecycle" | "connection" | "steps">;

/** Say what the editor is to whoever creates a container, or how it is to be had. */
export function describeEditor(isOffered: boolean, runsPlatform: boolean): string {
  if (isOffered) return "With a terminal, for you and for owners of the customer. It can be enabled and removed later as well.";
  return runsPlatform
    ? "It is not in the catalog yet. Begin make dev with ZLH_DEV_RECIPES=\"node code-server\", or pack it with zlh-api artifacts build code-server and publish."
    : "The catalog of this installation does not have it. Ask your operator.";
}

export function titleOfAddon(name: string): string {
  return TITLES[name] ?? name;
}

export function describeAddon({ state, message }: Pick<AddonStatus, "state" | "message">): Words {
  const words = STATES[state];
  return message ? { ...words, meaning: message } : words;
}

/** Return what the address of an addon waits for, in a sentence; null where it is there. */
export function whatItWaitsFor(addon: Pick<AddonStatus, "state" | "url" | "message">, status: Standing): string | null {
  if (addon.url !== null) return null;
  if (status.lifecycle === "stopped" || status.lifecycle === "stopping") return "It opens once the container is started.";
  if (status.lifecycle === "deleting") return "The container is being deleted.";
  // Where nothing is heard of it, the message says so; of an installation the bar of its version tells more.
  if (addon.message && addon.state !== "installing") return addon.message;
  switch (addon.state) {
    case "installing":
      return "It opens once it is installed and has started.";
    case "starting":
      return "It opens once it has started.";
    case "running":
      return tellProof(status.steps);
    default:
      return "It opens once it runs again.";
  }
}

function tellProof(steps: readonly Step[]): string {
  const step = steps.find(({ name }) => name === OPEN_STEP);
  if (step?.code) return `It runs, and does not open yet: ${step.message ?? step.code}`;
  return "It runs; the platform is making sure that it opens.";
}

/** Return why somebody may not open an addon that another has enabled; null where they may. An editor is a shell. */
export function whyNotOpen(me: Me | null | undefined, customerId: string, enabledBy: string | null): string | null {
  const customer = me?.customers.find(({ id }) => id === customerId);
  if (!me || !customer) return "It opens for people of the customer alone.";
  if (!customer.permissions.includes("consoles:use")) return "It is as good as a terminal, which your role does not include.";
  const isOwner = customer.permissions.includes("customer:manage");
  return isOwner || enabledBy === me.user.id ? null : "It opens for who has enabled it, and for owners.";
}
