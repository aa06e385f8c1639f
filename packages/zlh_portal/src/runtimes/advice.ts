/** What the reader can do about a runtime that does not get there; pure. */

export function adviseOnRuntime(code: string | null, canRollBack: boolean): string {
  const back = canRollBack ? " Or roll back: the version before it is kept." : "";
  switch (code) {
    case "artifact_hash_mismatch":
    case "artifact_size_mismatch":
      return `The archive is not the one that was signed, so nothing of it was used. Tell your operator that the artifact server holds a wrong file.${back}`;
    case "artifact_unavailable":
    case "catalog_unavailable":
      return `The artifact server does not answer. It is tried again by itself.${back}`;
    case "catalog_expired":
    case "catalog_untrusted":
    case "catalog_clock_wrong":
      return `The catalog cannot be believed now, so nothing new is installed; what is installed goes on. Only an operator can mend this.${back}`;
    case "smoke_test_failed":
      return `It was unpacked and does not run, so it was not put into use; what was there before is still the default. Another try seldom helps: choose another version.${back}`;
    case "runtime_changed":
      return "Files of this version were changed or are missing, so it is not used again; what was there before is still the default. Retry unpacks it anew, and what was added to it goes.";
    case "archive_refused":
    case "unpack_failed":
      return `The archive itself is wrong, and nothing of it was kept. Another try does not help: tell your operator, and choose another version.${back}`;
    case "disk_full":
      return `Free some space in the container, then retry.${back}`;
    case "not_in_catalog":
    case "version_not_offered":
    case "runtime_not_offered":
      return `The catalog does not offer it any more: remove it, or choose another version.${back}`;
    case "runtime_in_use":
      return "It is removed as soon as nobody uses it.";
    default:
      return `Try it again; if it stays so, give your operator the code.${back}`;
  }
}
