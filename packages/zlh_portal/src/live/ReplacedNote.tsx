/** Offers the newer portal to a page that was loaded from an older one; when to take it is the visitor's to say. */
import { Button } from "@mantine/core";
import { useStanding } from "../api/standing";
import { LiveRegion } from "../layout/LiveRegion";
import classes from "./live.module.css";

export function ReplacedNote() {
  const isReplaced = useStanding((standing) => standing.isReplaced);
  return (
    <LiveRegion>
      {isReplaced && (
        <div className={classes["replaced"]} data-testid="replaced">
          <span>The portal was updated. Save what you are writing, then reload.</span>
          <Button size="compact-sm" variant="default" onClick={() => window.location.reload()}>Reload</Button>
        </div>
      )}
    </LiveRegion>
  );
}
