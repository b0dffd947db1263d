import { follow } from './address.ts'
import { ask, problemOf, tokenPath, type Problem } from './api.ts'
import { legend, outcomesText } from './bars.ts'
import { valueOf } from './fields.ts'
import { count, eventText, exactly, localInput, number, t, wholeHour } from './format.ts'
import { html, nothing, type TemplateResult } from './lit.js'
import { trouble } from './parts.ts'
import { redraw, type Token } from './store.ts'
import { isOfAll } from './tokenList.ts'

type Outcomes = Record<string, number>

/** Times are the starts of whole hours. */
interface Seen {
  requests: number
  first_hour: string
  last_hour: string
  outcomes?: Outcomes
}

interface Listed<T> {
  data: (T & Seen)[]
  /** Requests that are in no row. */
  other: number
  other_first_hour: string | null
  other_last_hour: string | null
}

type Routes = Listed<{ method: string; route: string }>

interface Action {
  type: string
  at: string
  token_id: string
  ip: string | null
  user_agent: string | null
}

interface BlastRadius {
  first_at: string | null
  last_at: string | null
  total: { requests: number; outcomes: Outcomes }
  addresses: Listed<{ ip: string | null }>
  user_agents: Listed<{ user_agent: string | null }>
  routes: Routes
  management: { requests: Routes; events: { total: number; data: Action[] } }
  hours: { at: string; requests: number; outcomes: Outcomes; addresses: number; user_agents: number }[]
  earlier: { hours: number; requests: number }
}

let found: BlastRadius | null = null
let problem: Problem | null = null
let since = ''
let isLoading = false

export function forgetBlast(): void {
  found = null
  problem = null
  since = ''
}

/** What the token did since then, without anybody asking. */
export function showBlast(id: string, at: string): void {
  if (found) return
  since = localInput(new Date(at))
  void load(id)
}

async function load(id: string): Promise<void> {
  isLoading = true
  redraw()
  try {
    const query = since === '' ? {} : { since: new Date(since).toISOString() }
    const { body } = await ask<BlastRadius>(tokenPath(id, isOfAll(), '/blast-radius'), { query })
    found = body
    problem = null
  } catch (error) {
    problem = problemOf(error)
  }
  isLoading = false
  redraw()
}

const table = <T>(
  title: string,
  { data, other, ...times }: Listed<T>,
  name: (row: T & Seen) => TemplateResult | string,
) => {
  if (data.length === 0 && other === 0) return nothing
  const row = (what: unknown, seen: Seen) => html`<tr>
    <td class="wide">${what}${seen.outcomes ? html`<span class="sub">${outcomesText(seen.outcomes)}</span>` : nothing}</td>
    <td data-label=${t('firstHour')}>${wholeHour(seen.first_hour)}</td>
    <td data-label=${t('lastHour')}>${wholeHour(seen.last_hour)}</td>
    <td class="n" data-label=${t('requests')}>${number(seen.requests)}</td>
  </tr>`
  return html`<div>
    <h3>${title}</h3>
    <table>
      <thead>
        <tr>
          <th scope="col"><span class="hidden">${title}</span></th>
          <th scope="col">${t('firstHour')}</th>
          <th scope="col">${t('lastHour')}</th>
          <th scope="col" class="n">${t('requests')}</th>
        </tr>
      </thead>
      <tbody>
        ${data.map((one) => row(name(one), one))}
        ${
          other > 0
            ? row(html`<span class="muted">${t('others')}</span>`, {
                requests: other,
                first_hour: times.other_first_hour ?? '',
                last_hour: times.other_last_hour ?? '',
              })
            : nothing
        }
      </tbody>
    </table>
  </div>`
}

const route = ({ method, route: path }: { method: string; route: string }) =>
  html`<code dir="ltr">${method} ${path}</code>`

const hours = ({ hours: list, earlier }: BlastRadius) => html`<details>
  <summary>${t('byHour')}</summary>
  <div class="scroll" tabindex="0">
    <table>
      <thead>
        <tr>
          <th scope="col">${t('time')}</th>
          <th scope="col" class="n">${t('ips')}</th>
          <th scope="col" class="n">${t('userAgents')}</th>
          <th scope="col" class="n">${t('requests')}</th>
        </tr>
      </thead>
      <tbody>
        ${list.map(
          ({ at, requests, outcomes, addresses, user_agents: agents }) => html`<tr>
            <th scope="row">${wholeHour(at)}<span class="sub">${outcomesText(outcomes)}</span></th>
            <td class="n">${number(addresses)}</td>
            <td class="n">${number(agents)}</td>
            <td class="n">${number(requests)}</td>
          </tr>`,
        )}
      </tbody>
    </table>
    ${earlier.hours > 0 ? html`<p class="muted">${t('earlier')} ${count('requests', earlier.requests)}</p>` : nothing}
  </div>
</details>`

const action = (own: string) => (event: Action) =>
  html`<li>
  ${eventText(event.type)} · ${exactly(event.at)}
  ${
    event.token_id === own
      ? nothing
      : html`· <a
          href="?token=${event.token_id}"
          @click=${(click: MouseEvent) => follow(click, { token: event.token_id })}
          ><code>${event.token_id}</code></a
        >`
  }
  <span class="sub" dir="auto">${[event.ip, event.user_agent].filter(Boolean).join(' · ')}</span>
</li>`

const actions = ({ total, data }: BlastRadius['management']['events'], own: string) =>
  total === 0
    ? nothing
    : html`<h3>${t('actions')} (${number(total)})</h3>
        <ul class="plain">
          ${data.map(action(own))}
        </ul>
        ${total > data.length ? html`<p class="muted">${t('firstOnly', { n: data.length })}</p>` : nothing}`

function result(blast: BlastRadius, { id }: Token): TemplateResult {
  const { first_at: first, last_at: last, management } = blast
  if (first === null || last === null)
    return html`<p class="muted">${t('noUse')}</p>
      ${actions(management.events, id)}`
  return html`
    <p class="big">${count('requests', blast.total.requests)}</p>
    <p>${t('firstAndLast', { first: exactly(first), last: exactly(last) })}</p>
    ${legend(blast.total.outcomes)}
    <div class="stack">
      ${table(t('ip'), blast.addresses, ({ ip }) => html`<code>${ip ?? t('unknown')}</code>`)}
      ${table(t('userAgent'), blast.user_agents, (row) => html`<span dir="auto">${row.user_agent ?? t('unknown')}</span>`)}
      ${table(t('route'), blast.routes, route)} ${table(t('managing'), management.requests, route)}
    </div>
    ${actions(management.events, id)} ${hours(blast)}
  `
}

export const blastRadius = (token: Token) => html`
  <section class="card" aria-labelledby="blast">
    <div class="heading">
      <h2 id="blast">${t('blast')}</h2>
      <form
        class="inline-form"
        @submit=${(event: Event) => {
          event.preventDefault()
          void load(token.id)
        }}
      >
        <label>
          <span>${t('since')}</span>
          <input
            type="datetime-local"
            max=${localInput(new Date())}
            .value=${since}
            @input=${(event: Event) => {
              since = valueOf(event)
            }}
          />
        </label>
        <button type="submit" ?disabled=${isLoading}>${t('show')}</button>
      </form>
    </div>
    <p class="muted">${t('blastHint')}</p>
    <div role="status">${found && !problem ? html`<span class="hidden">${count('requests', found.total.requests)}</span>` : nothing}</div>
    ${problem ? trouble(problem, () => void load(token.id)) : nothing} ${found && !problem ? result(found, token) : nothing}
  </section>
`
