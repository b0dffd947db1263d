import { ask, problemOf, tokenPath, type Problem } from './api.ts'
import { valueOf } from './fields.ts'
import { count, eventText, localInput, moment, number, t } from './format.ts'
import { html, nothing, type TemplateResult } from './lit.js'
import { trouble } from './parts.ts'
import { redraw, type Token } from './store.ts'
import { isOfAll } from './tokenList.ts'

interface Seen {
  requests: number
  first_hour: string
  last_hour: string
}

interface Listed<T> {
  data: (T & Seen)[]
  other: number
}

interface BlastRadius {
  since: string
  total: { requests: number }
  addresses: Listed<{ ip: string | null }>
  user_agents: Listed<{ user_agent: string | null }>
  routes: Listed<{ method: string; route: string }>
  management: { events: { total: number; data: { type: string; at: string; token_id: string }[] } }
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
  { data, other }: Listed<T>,
  name: (row: T & Seen) => TemplateResult | string,
) => {
  if (data.length === 0) return nothing
  return html`<div>
    <h3>${title}</h3>
    <table>
      <thead>
        <tr>
          <th scope="col"><span class="hidden">${title}</span></th>
          <th scope="col">${t('first')}</th>
          <th scope="col">${t('last')}</th>
          <th scope="col" class="n">${t('requests')}</th>
        </tr>
      </thead>
      <tbody>
        ${data.map(
          (row) => html`<tr>
            <td class="wide">${name(row)}</td>
            <td>${moment(row.first_hour)}</td>
            <td>${moment(row.last_hour)}</td>
            <td class="n">${number(row.requests)}</td>
          </tr>`,
        )}
      </tbody>
    </table>
    ${other > 0 ? html`<p class="muted">${count('other', other)}</p>` : nothing}
  </div>`
}

function result(blast: BlastRadius): TemplateResult {
  const { events } = blast.management
  if (blast.total.requests === 0) return html`<p class="muted">${t('noUse')}</p>`
  return html`
    <p class="big">${count('requests', blast.total.requests)}</p>
    <div class="stack">
      ${table(t('ip'), blast.addresses, ({ ip }) => html`<code>${ip ?? t('unknown')}</code>`)}
      ${table(t('userAgent'), blast.user_agents, (row) => html`<span dir="auto">${row.user_agent ?? t('unknown')}</span>`)}
      ${table(t('route'), blast.routes, ({ method, route }) => html`<code dir="ltr">${method} ${route}</code>`)}
    </div>
    ${
      events.total === 0
        ? nothing
        : html`<h3>${t('actions')}</h3>
            <ul class="plain">
              ${events.data.map(({ type, at }) => html`<li>${eventText(type)} · ${moment(at)}</li>`)}
            </ul>`
    }
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
    ${problem ? trouble(problem, () => void load(token.id)) : nothing} ${found && !problem ? result(found) : nothing}
  </section>
`
