import { number, t } from './format.ts'
import { html, nothing, svg } from './lit.js'

/** Charts, as SVG that the page draws. Each has its numbers beside it, in words or as a table. */

const SPARK = { width: 4, height: 24, least: 2 }

/** A bar for each day, oldest first. */
export function sparkline(days: readonly number[], label: string) {
  const most = Math.max(1, ...days)
  const width = days.length * SPARK.width
  return html`<svg
    class="spark"
    viewBox="0 0 ${width} ${SPARK.height}"
    width=${width}
    height=${SPARK.height}
    role="img"
    aria-label=${label}
  >
    <title>${label}</title>
    <path class="base" d="M0 ${SPARK.height - 0.5}H${width}" />
    ${days.map((n, i) => {
      const height = n === 0 ? 0 : Math.max(SPARK.least, (n / most) * SPARK.height)
      return n === 0
        ? nothing
        : svg`<rect x=${i * SPARK.width} y=${SPARK.height - height} width=${SPARK.width - 1} height=${height} />`
    })}
  </svg>`
}

/** Classes of outcomes, in the order in which bars are stacked. */
export const OUTCOMES = [
  { kind: 'good', label: () => t('outcomeGood'), of: ['2xx', '3xx', '1xx', 'accepted'] },
  { kind: 'refused', label: () => t('outcomeRefused'), of: ['4xx'] },
  { kind: 'failed', label: () => t('outcomeFailed'), of: ['5xx'] },
  { kind: 'other', label: () => t('outcomeOther'), of: ['aborted'] },
] as const

export interface Bar {
  label: string
  outcomes: Record<string, number>
}

const CHART = { width: 720, height: 160, left: 44, bottom: 20, top: 8 }

export const sumOf = (outcomes: Record<string, number>, of: readonly string[]): number =>
  of.reduce((sum, name) => sum + (outcomes[name] ?? 0), 0)

/** The next number up of 1, 2 or 5 with zeros, so that the axis has a round end. */
function roundUp(n: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, n)))
  return ([1, 2, 5, 10].find((step) => step * power >= n) ?? 10) * power
}

export function barChart(bars: readonly Bar[], label: string) {
  const { width, height, left, bottom, top } = CHART
  const totals = bars.map(({ outcomes }) => Object.values(outcomes).reduce((a, b) => a + b, 0))
  const most = roundUp(Math.max(1, ...totals))
  const step = (width - left) / bars.length
  const scale = (height - bottom - top) / most
  const base = height - bottom
  const line = (n: number) => svg`
    <path class="grid" d="M${left} ${base - n * scale}H${width}" />
    <text class="axis end" x=${left - 8} y=${base - n * scale + 4}>${number(n)}</text>`
  const every = Math.ceil(bars.length / 6)
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
      ${i % every === 0 ? svg`<text class="axis" x=${left + i * step} y=${height - 4}>${name}</text>` : nothing}
    </g>`
  }
  return html`<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label=${label}>
    ${most === 1 ? [0, 1].map(line) : [0, most / 2, most].map(line)} ${bars.map(stack)}
  </svg>`
}

export const legend = (outcomes: Record<string, number>) => html`
  <ul class="legend">
    ${OUTCOMES.filter(({ of }) => sumOf(outcomes, of) > 0).map(
      ({ kind, label, of }) =>
        html`<li><span class="swatch ${kind}"></span>${label()} <b>${number(sumOf(outcomes, of))}</b></li>`,
    )}
  </ul>
`
