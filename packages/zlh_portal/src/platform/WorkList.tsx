/** The containers that are not as they are wanted yet: what is done, or what hinders, and when it is tried again. */
import { Paper, Text, Title } from "@mantine/core";
import { Link } from "react-router";
import type { WorkItem } from "../api/types";
import { titleOf } from "../containers/stepNames";
import { useServerNow } from "../layout/clock";
import { Name } from "../layout/Name";
import { Said } from "../layout/Said";
import { ToneBadge } from "../layout/ToneBadge";
import { isolateOdd } from "../layout/words";
import classes from "./platform.module.css";
import { countDown, describeWork } from "./standing";

export function WorkList({ work, leftOut }: { work: readonly WorkItem[]; leftOut: number }) {
  const now = useServerNow(work.some(({ nextTryAt }) => nextTryAt !== null));
  if (work.length === 0) return <Text size="sm" c="dimmed" data-testid="no-work">Nothing is being worked on, and nothing is stuck.</Text>;
  return (
    <section aria-labelledby="work">
      <Title order={2} fz="lg" mb="xs" id="work">In work</Title>
      <Paper p={0}>
        <ul className={classes["list"]} data-testid="work">
          {work.map((item) => <WorkRow key={item.owner} item={item} now={now} />)}
        </ul>
      </Paper>
      {leftOut > 0 && <Text size="sm" c="dimmed" mt="xs">There are {leftOut} more.</Text>}
    </section>
  );
}

function WorkRow({ item, now }: { item: WorkItem; now: number }) {
  const next = countDown(item, now);
  return (
    <li className={classes["work"]} data-testid={`work-${item.vmid}`}>
      <div className={classes["text"]}>
        <Link to={`/containers/${item.vmid}`} className={classes["link"] ?? ""}><Name text={item.name} /></Link>
        <Text size="xs" c="dimmed" className="numbers">{item.vmid}{item.isDeleting && " · being deleted"}</Text>
      </div>
      <div><ToneBadge words={describeWork(item)} testId="work-state" /></div>
      <div className={classes["text"]}>
        {item.step && <Text size="sm" fw={600}><Name text={titleOf(item.step)} /></Text>}
        <Text size="sm">{item.message !== null ? <Said text={item.message} /> : item.waitingFor !== null && <>Waits for its turn at <Name text={item.waitingFor} />.</>}</Text>
        {(item.code !== null || item.attempts > 0) && (
          <Text size="xs" c="dimmed" className="numbers">{[item.code === null ? null : isolateOdd(item.code), item.attempts > 0 ? `failed ${item.attempts} ${item.attempts === 1 ? "time" : "times"}` : null].filter((fact) => fact !== null).join(" · ")}</Text>
        )}
      </div>
      <Text size="sm" ta="end" className="numbers" data-testid="next-try">{next ?? ""}</Text>
    </li>
  );
}
