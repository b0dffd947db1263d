import { number, t } from './format.ts'
import { html, nothing, svg } from './lit.js'

/** Charts, as SVG that the page draws. Each has its numbers beside it, in words or as a table. */

const SPARK = { width: 4, height: 24, least: 2 }

/** A bar for each day, oldest first. One path has them all, since a list has thousands. */
export function sparkline(days: readonly number[], label: string) {
  const most = Math.max(1, ...days)
  const { width: step, height: full, least } = SPARK
  const width = days.length * step
  const bars = days.map((n, i) => {
    const height = Math.max(least, (n / most) * full)
    return n === 0 ? '' : `M${i * step} ${full}v${-height}h${step - 1}v${height}z`
  })
  return html`<svg class="spark" viewBox="0 0 ${width} ${full}" width=${width} height=${full} role="img" aria-label=${label}>
    <title>${label}</title>
    <path class="base" d="M0 ${full - 0.5}H${width}" />
    <path class="bars" d=${bars.join('')} />
  </svg>`
}

/** Classes of outcomes, in the order in which bars are stacked. */
export const OUTCOMES = [
  { kind: 'good', label: () => t('outcomeGood'), of: ['2xx', '3xx', '1xx'] },
  { kind: 'open', label: () => t('outcomeOpen'), of: ['accepted'] },
  { kind: 'client', label: () => t('outcomeClient'), of: ['4xx'] },
  { kind: 'server', label: () => t('outcomeServer'), of: ['5xx'] },
  { kind: 'other', label: () => t('outcomeOther'), of: ['aborted'] },
] as const

export interface Bar {
  label: string
  outcomes: Record<string, number>
}

/** The room that the longest label of an axis needs. */
const LABEL = 50
/** As in the style sheet. */
const NARROW = 760
const CHART = { height: 160, left: 44, bottom: 20, top: 8 }

export const sumOf = (outcomes: Record<string, number>, of: readonly string[]): number =>
  of.reduce((sum, name) => sum + (outcomes[name] ?? 0), 0)

/** The next number up of 1, 2 or 4 with zeros, so that the axis has a round end and a whole middle. */
function roundUp(n: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, n)))
  return ([1, 2, 4, 10].find((step) => step * power >= n) ?? 10) * power
}

export function barChart(bars: readonly Bar[], label: string) {
  const { height, left, bottom, top } = CHART
  // Drawn as wide as it is shown, about, so that its texts can be read.
  const width = innerWidth < NARROW ? 320 : 720
  const totals = bars.map(({ outcomes }) => Object.values(outcomes).reduce((a, b) => a + b, 0))
  const most = Math.max(2, roundUp(Math.max(...totals)))
  const step = (width - left) / bars.length
  const scale = (height - bottom - top) / most
  const base = height - bottom
  const line = (n: number) => svg`
    <path class="grid" d="M${left} ${base - n * scale}H${width}" />
    <text class="axis end" x=${left - 8} y=${base - n * scale + 4}>${number(n)}</text>`
  const every = Math.ceil((bars.length * LABEL * 2) / (width - left))
  const stack = ({ outcomes, label: name }: Bar, i: number) => {
    let y = base
    return svg`<g><title>${name}: ${number(totals[i] ?? 0)}</title>
      <rect class="hover" x=${left + i * step} y=${top} width=${step} height=${base - top} />
      ${OUTCOMES.map(({ kind, of }) => {
        const h = sumOf(outcomes, of) * scale
        y -= h
        return h === 0
          ? nothing
          : svg`<rect class=${kind} x=${left + i * step + step * 0.15} y=${y} width=${step * 0.7} height=${h} />`
      })}
      ${
        i % every === 0 && left + i * step < width - LABEL
          ? svg`<text class="axis" x=${left + i * step} y=${height - 4}>${name}</text>`
          : nothing
      }
    </g>`
  }
  return html`<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label=${label}>
    ${[0, most / 2, most].map(line)} ${bars.map(stack)}
  </svg>`
}

/** `Succeeded: 3, Aborted: 1` */
export const outcomesText = (outcomes: Record<string, number>): string =>
  OUTCOMES.map(({ label, of }) => ({ n: sumOf(outcomes, of), label: label() }))
    .filter(({ n }) => n > 0)
    .map(({ n, label }) => `${label}: ${number(n)}`)
    .join(', ')

export const legend = (outcomes: Record<string, number>) => html`
  <ul class="legend">
    ${OUTCOMES.filter(({ of }) => sumOf(outcomes, of) > 0).map(
      ({ kind, label, of }) =>
        html`<li><span class="swatch ${kind}"></span>${label()} <b>${number(sumOf(outcomes, of))}</b></li>`,
    )}
  </ul>
`
