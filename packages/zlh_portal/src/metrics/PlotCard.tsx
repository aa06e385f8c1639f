/** One plot with its title, its legend, and the figures of the moment that is pointed at. */
import { Group, Paper, Text, Title, useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { type Drawing, openDrawing, type Pointed, type Range } from "./drawing";
import classes from "./metrics.module.css";
import { colorsOf } from "./palette";
import { type Plot, summarize } from "./plots";
import { formatFigure } from "./units";

export function PlotCard({ plot, range }: { plot: Plot; range: Range }) {
  const element = useRef<HTMLDivElement>(null);
  const drawing = useRef<Drawing | null>(null);
  const [pointed, setPointed] = useState<Pointed | null>(null);
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  // What a drawing is made for; its figures come and go without a new one.
  const shape = `${plot.id} ${plot.limit !== null} ${plot.curves.map(({ label }) => label).join(" ")}`;
  const first = useRef(plot);
  useEffect(() => {
    first.current = plot;
  }, [plot]);
  useEffect(() => {
    if (!element.current) return;
    const current = openDrawing(element.current, first.current, scheme, setPointed);
    drawing.current = current;
    return () => {
      current.close();
      drawing.current = null;
    };
  }, [shape, scheme]);
  useEffect(() => drawing.current?.show(plot, range), [plot, range.from, range.to, shape, scheme]); // eslint-disable-line react-hooks/exhaustive-deps -- a range is its two ends

  return (
    <Paper component="section" p="sm" aria-label={plot.title} data-testid={`plot-${plot.id}`}>
      <Group justify="space-between" gap="xs" mb={2}>
        <Title order={3} fz="sm">{plot.title}{plot.unit === "cores" && <Text span size="xs" c="dimmed"> in cores</Text>}</Title>
        {plot.limit !== null && <Text size="xs" c="dimmed" className="numbers">limit {formatFigure(plot.limit, plot.unit)}</Text>}
      </Group>
      <Legend plot={plot} scheme={scheme} at={null} />
      <div className={classes["frame"]} role="img" aria-label={summarize(plot, formatFigure)}>
        <div ref={element} className={classes["canvas"]} />
        {pointed && (
          <div className={classes["tooltip"]} style={pointed.isRight ? { right: pointed.width - pointed.left + 10 } : { left: pointed.left + 10 }} data-testid="plot-tooltip">
            <div className="numbers">{new Date((plot.times[pointed.index] ?? 0) * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium", hour12: false })}</div>
            <Legend plot={plot} scheme={scheme} at={pointed.index} />
          </div>
        )}
      </div>
    </Paper>
  );
}

function Legend({ plot, scheme, at }: { plot: Plot; scheme: "light" | "dark"; at: number | null }) {
  if (at === null && plot.curves.length < 2) return null;
  const colors = colorsOf(scheme);
  return (
    <div className={classes["legend"]} data-column={at !== null}>
      {plot.curves.map(({ label, values }, i) => (
        <span key={label} className={classes["entry"]}>
          <span className={classes["swatch"]} style={{ background: colors[i % colors.length] }} aria-hidden="true" />
          <span className={classes["name"]}>{label}</span>
          {at !== null && <span className="numbers">{describe(values[at] ?? null, plot)}</span>}
        </span>
      ))}
    </div>
  );
}

function describe(value: number | null, plot: Plot): string {
  return value === null ? "not known" : formatFigure(value, plot.unit);
}
