/** What a reader can do about a step that has failed; pure. */
import type { ContainerStatus } from "../api/types";
import { isCreation, isInstall } from "./stepNames";

/** Return what the reader can do about a failure. */
export function adviseOn(code: string, step: string, lifecycle: ContainerStatus["lifecycle"]): string {
  switch (code) {
    case "artifact_hash_mismatch":
    case "artifact_size_mismatch":
      return "The downloaded archive is not the one that was signed, so nothing of it was used. Tell your operator: the artifact server holds a wrong file.";
    case "artifact_unavailable":
    case "catalog_unavailable":
      return "The artifact server does not answer. The container tries again by itself; if it stays so, tell your operator.";
    case "catalog_expired":
    case "catalog_untrusted":
      return "The catalog's signatures are not valid, so nothing new is installed. Only an operator can mend this.";
    case "smoke_test_failed":
      return "The runtime was unpacked but did not run, so it was not put into use. Choose another version under Runtimes.";
    case "guest_foreign":
      return "Something that is not ours stands in this container's place, and it is left untouched. Only an operator can clear it.";
    case "not_in_catalog":
      return "This version has left the catalog. Choose one that is offered under Runtimes.";
    case "no_address_free":
      return "Every address of this installation is in use. It goes on by itself as soon as one is free; an operator can make room.";
    case "network_open":
      return "It is not started before its network is seen to be closed to its neighbours. If it stays so, tell your operator.";
    case "agent_silent":
      return "Restart it under Settings. If its agent stays silent, tell your operator; your files are kept.";
    default:
      break;
  }
  if (lifecycle === "deleting") {
    return "The deletion goes on by itself, and nothing of the container is used meanwhile. If it stays so, give your operator the code and the time.";
  }
  if (isCreation(step)) {
    return "It is tried again by itself. If its host has no room for it, ask for a smaller size under Settings, or delete it; nothing is lost, for it has no files yet.";
  }
  if (isInstall(step)) {
    return "Retry it under Runtimes, or choose another version there.";
  }
  return lifecycle === "error"
    ? "It is still tried again, with ever longer pauses. If it stays so, give your operator the code and the time."
    : "It is tried again in a moment; you need not do anything yet.";
}
