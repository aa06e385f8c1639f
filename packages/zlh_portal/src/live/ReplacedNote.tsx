/** Offers the newer portal to a page that was loaded from an older one; when to take it is the visitor's to say. */
import { Button } from "@mantine/core";
import { useStanding } from "../api/standing";
import classes from "./live.module.css";

export function ReplacedNote() {
  if (!useStanding((standing) => standing.isReplaced)) return null;
  return (
    <div className={classes["replaced"]} role="status" data-testid="replaced">
      <span>The portal was updated. Save what you are writing, then reload.</span>
      <Button size="compact-sm" variant="default" onClick={() => window.location.reload()}>Reload</Button>
    </div>
  );
}
