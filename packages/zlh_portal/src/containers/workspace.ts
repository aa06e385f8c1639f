/** What is asked for of a workspace, and how far that is; pure. */
import type { ContainerStatus, CreateContainer, Step } from "../api/types";
import { isOfWorkspace } from "./stepNames";

/** What the form holds of it. */
export interface WorkspaceChoice {
  url: string;
  branch: string;
  startScript: string;
  sudo: boolean;
}

export const NO_CHOICE: WorkspaceChoice = { url: "", branch: "", startScript: "", sudo: false };
export const WORKSPACE_FIELDS = ["repository.url", "repository.branch", "repository", "startScript", "sudo"];

/** Return what of it is sent; a branch without a repository is none. */
export function wishOf({ url, branch, startScript, sudo }: WorkspaceChoice): Pick<CreateContainer, "repository" | "startScript" | "sudo"> {
  const repository = url.trim() ? { url: url.trim(), branch: branch.trim() || null } : null;
  return { repository, startScript: startScript.trim() ? startScript : null, sudo };
}

/** Return what is asked for in a line, for who has folded it away; empty where nothing is. */
export function summarizeChoice({ url, startScript, sudo }: WorkspaceChoice): string {
  return [url.trim() && "a repository", startScript.trim() && "a start script", sudo && "sudo"].filter(Boolean).join(", ");
}

/** Tell whether a container has what a workspace's part of its page is about. */
export function hasWorkspace({ kind, lifecycle }: Pick<ContainerStatus, "kind" | "lifecycle">): boolean {
  return kind === "dev" && lifecycle !== "deleting";
}

/** Return the steps of a workspace. */
export function stepsOfWorkspace({ steps }: Pick<ContainerStatus, "steps">): Step[] {
  return steps.filter(({ name }) => isOfWorkspace(name));
}

/** Tell what trying again does now; null where it does nothing, or something is under way. */
export function offerRetry(status: Pick<ContainerStatus, "steps" | "workspace">): string | null {
  const find = (name: string) => status.steps.find((step) => step.name === name);
  const clone = find("clone-repository");
  const script = find("run-start-script");
  if (clone?.state === "running" || script?.state === "running") return null;
  const isCloneOpen = clone?.state === "failed" || clone?.state === "skipped";
  if (isCloneOpen) return status.workspace.hasStartScript ? "Clone again, then run the script" : "Clone again";
  return script && (script.state === "done" || script.state === "failed") ? "Run the script again" : null;
}
