import { ask, problemOf, tokenPath, type Problem } from './api.ts'
import { barChart, legend, OUTCOMES, sumOf, type Bar } from './bars.ts'
import { count, hour, moment, number, shortDay, t, utcDay } from './format.ts'
import { html, nothing, type TemplateResult } from './lit.js'
import { trouble } from './parts.ts'
import { redraw, type Token } from './store.ts'
import { isOfAll } from './tokenList.ts'

interface Tally {
  requests: number
  outcomes: Record<string, number>
}

interface Usage {
  from: string
  to: string
  granularity: 'hour' | 'day'
  total: Tally
  buckets: (Tally & { at: string })[]
  routes: { method: string; route: string; requests: number }[]
  secrets?: { hint: string | null; requests: number; last_accessed: string | null }[]
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const RANGES = {
  day: { ms: DAY_MS, step: HOUR_MS, granularity: 'hour', label: () => t('rangeDay') },
  week: { ms: 7 * DAY_MS, step: DAY_MS, granularity: 'day', label: () => t('rangeWeek') },
  month: { ms: 30 * DAY_MS, step: DAY_MS, granularity: 'day', label: () => t('rangeMonth') },
} as const
type Range = keyof typeof RANGES

let range: Range = 'month'
let found: Usage | null = null
let problem: Problem | null = null
let turn = 0

export function forgetUsage(): void {
  found = null
  problem = null
}

export async function loadUsage(id: string): Promise<void> {
  const mine = ++turn
  const { ms, granularity } = RANGES[range]
  const from = new Date(Date.now() - ms).toISOString()
  try {
    const { body } = await ask<Usage>(tokenPath(id, isOfAll(), '/usage'), { query: { from, granularity } })
    if (mine !== turn) return
    found = body
    problem = null
  } catch (error) {
    if (mine !== turn) return
    problem = problemOf(error)
  }
  redraw()
}

/** A bar for each hour or day of the range, also where nothing was. */
function barsOf({ from, to, granularity, buckets }: Usage): (Bar & { at: string })[] {
  const step = granularity === 'hour' ? HOUR_MS : DAY_MS
  const by = new Map(buckets.map((bucket) => [Date.parse(bucket.at), bucket]))
  const bars: (Bar & { at: string })[] = []
  for (let at = Math.floor(Date.parse(from) / step) * step; at < Date.parse(to); at += step) {
    const iso = new Date(at).toISOString()
    bars.push({
      at: iso,
      label: granularity === 'hour' ? hour(iso) : shortDay(iso),
      outcomes: by.get(at)?.outcomes ?? {},
    })
  }
  return bars
}

const chooser = (id: string) => html`
  <div class="switch" role="group" aria-label=${t('range')}>
    ${Object.entries(RANGES).map(
      ([name, { label }]) => html`<button
        type="button"
        aria-pressed=${name === range}
        @click=${() => {
          range = name as Range
          redraw()
          void loadUsage(id)
        }}
      >
        ${label()}
      </button>`,
    )}
  </div>
`

function asTable(used: Usage): TemplateResult {
  const columns = OUTCOMES.filter(({ of }) => sumOf(used.total.outcomes, of) > 0)
  return html`<details>
    <summary>${t('asTable')}</summary>
    <div class="scroll" tabindex="0">
      <table>
        <thead>
          <tr>
            <th scope="col">${t('time')}</th>
            ${columns.map(({ label }) => html`<th scope="col" class="n">${label()}</th>`)}
            <th scope="col" class="n">${t('total')}</th>
          </tr>
        </thead>
        <tbody>
          ${used.buckets.map(
            ({ at, outcomes, requests }) => html`<tr>
              <th scope="row">${used.granularity === 'day' ? utcDay(at) : moment(at)}</th>
              ${columns.map(({ of }) => html`<td class="n">${number(sumOf(outcomes, of))}</td>`)}
              <td class="n">${number(requests)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </details>`
}

const routes = ({ routes: list, total }: Usage) => html`
  <h3>${t('routes')}</h3>
  <table class="routes">
    <thead>
      <tr>
        <th scope="col">${t('route')}</th>
        <th scope="col" class="n">${t('requests')}</th>
      </tr>
    </thead>
    <tbody>
      ${list.slice(0, 20).map(
        ({ method, route, requests }) => html`<tr>
          <td><code dir="ltr">${method} ${route}</code>${share(requests / Math.max(1, total.requests))}</td>
          <td class="n">${number(requests)}</td>
        </tr>`,
      )}
    </tbody>
  </table>
`

const share = (
  part: number,
) => html`<svg class="share" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
  <rect width=${Math.max(1, part * 100)} height="4" />
</svg>`

/** What a secret is to its token now. */
function stateOfSecret({ hint, rotation, status }: Token, of: string | null): string {
  if (status !== 'active') return t('secretRetired')
  if (rotation && of === rotation.hint)
    return rotation.retires_at === null
      ? t('secretPending')
      : t('secretRetires', { date: moment(rotation.retires_at) })
  return of === hint ? t('secretCurrent') : t('secretRetired')
}

const secrets = (token: Token, list: NonNullable<Usage['secrets']>) => html`
  <h3>${t('secrets')}</h3>
  <div class="stack"><table>
    <thead>
      <tr>
        <th scope="col">${t('secret')}</th>
        <th scope="col">${t('state')}</th>
        <th scope="col">${t('lastUse')}</th>
        <th scope="col" class="n">${t('requests')}</th>
      </tr>
    </thead>
    <tbody>
      ${list.map(
        ({ hint, requests, last_accessed: at }) => html`<tr>
          <td><code>${hint ?? t('unknown')}</code></td>
          <td data-label=${t('state')}>${stateOfSecret(token, hint)}</td>
          <td data-label=${t('lastUse')}>${at === null ? t('neverUsed') : moment(at)}</td>
          <td class="n" data-label=${t('requests')}>${number(requests)}</td>
        </tr>`,
      )}
    </tbody>
  </table></div>
`

const used = (shown: Usage, label: string) => html`
  <p class="big">${count('requests', shown.total.requests)}</p>
  ${legend(shown.total.outcomes)} ${barChart(barsOf(shown), label)} ${asTable(shown)} ${routes(shown)}
`

function content(token: Token): TemplateResult {
  if (problem) return trouble(problem, () => void loadUsage(token.id))
  if (!found) return html`<p class="muted wait">${t('loading')}</p>`
  const { total, secrets: list = [] } = found
  const label = `${RANGES[range].label()}: ${count('requests', total.requests)}`
  return html`
    ${total.requests === 0 ? html`<p class="muted">${t('noUse')}</p>` : used(found, label)}
    ${list.length > 1 ? secrets(token, list) : nothing}
  `
}

export const usage = (token: Token) => html`
  <section class="card" aria-labelledby="usage">
    <div class="heading">
      <h2 id="usage">${t('usage')}</h2>
      ${chooser(token.id)}
    </div>
    ${content(token)}
  </section>
`
