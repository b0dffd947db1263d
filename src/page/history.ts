import { ask, problemOf, tokenPath, type Problem } from './api.ts'
import { facts } from './facts.ts'
import { valueOf } from './fields.ts'
import { ago, count, day, eventText, localInput, moment, t } from './format.ts'
import { html, nothing, type TemplateResult } from './lit.js'
import { stateOf, trouble } from './parts.ts'
import { redraw, type Token, type TokenEvent } from './store.ts'
import { isOfAll } from './tokenList.ts'

const PAGE = 100

interface History {
  data: TokenEvent[]
  next_cursor: string | null
  retired_secret_uses?: { requests: number; last_at: string }
}

let events: TokenEvent[] = []
let retired: History['retired_secret_uses']
let next: string | null = null
let isLoaded = false
let problem: Problem | null = null
let then: { at: string; token: Token | null } | null = null
let chosen = ''
let turn = 0

export function forgetHistory(): void {
  events = []
  next = null
  isLoaded = false
  problem = null
  then = null
  chosen = ''
}

/** Oldest first, as it happened; the page shows the newest first once it has all. */
export async function loadHistory(id: string, more = false): Promise<void> {
  const mine = ++turn
  try {
    const query = { limit: PAGE, cursor: more ? next : null }
    const path = tokenPath(id, isOfAll(), '/events')
    const { body } = await ask<History>(path, { query })
    if (mine !== turn) return
    events = more ? [...events, ...body.data] : body.data
    next = body.next_cursor
    retired = body.retired_secret_uses
    isLoaded = true
    problem = null
  } catch (error) {
    if (mine !== turn) return
    problem = problemOf(error)
  }
  redraw()
}

async function lookAt(id: string, at: string): Promise<void> {
  try {
    const { body } = await ask<Token>(tokenPath(id, isOfAll()), { query: { at } })
    then = { at, token: body }
  } catch (error) {
    if (problemOf(error).status === 404) then = { at, token: null }
    else problem = problemOf(error)
  }
  redraw()
}

const actorOf = ({ kind, id }: TokenEvent['actor']): string => (kind === 'system' ? t('actorSystem') : id)

/** What an event says, member by member, as text. */
const HIDDEN = ['token_id', 'account_id', 'beside', 'remaining', 'secret']
const shownValue = (value: unknown): string => {
  if (value === null || value === undefined) return '–'
  if (typeof value === 'string') return /^\d{4}-\d\d-\d\dT/.test(value) ? moment(value) : value
  return Array.isArray(value) ? value.join(', ') || '–' : JSON.stringify(value)
}

const data = ({ data: members }: TokenEvent) => {
  const shown = Object.entries(members).filter(
    ([name, value]) =>
      !HIDDEN.includes(name) && value !== null && JSON.stringify(value) !== '{}' && value !== false,
  )
  return shown.length === 0
    ? nothing
    : html`<dl class="data">
        ${shown.map(([name, value]) => html`<div><dt>${name.replaceAll('_', ' ')}</dt><dd dir="auto">${shownValue(value)}</dd></div>`)}
      </dl>`
}

const entry = (id: string) => (event: TokenEvent) =>
  html`
  <li class=${event.type}>
    <div class="what">
      <b>${eventText(event.type)}</b> <span class="muted">${t('by', { who: actorOf(event.actor) })}</span>
    </div>
    <div class="when">
      <time datetime=${event.at} title=${ago(event.at)}>${moment(event.at)}</time>
      <button type="button" class="link" @click=${() => void lookAt(id, event.at)}>
        ${t('asOf')}<span class="hidden"> ${moment(event.at)}</span>
      </button>
    </div>
    ${data(event)}
  </li>
`

/** The newest leak, as long as it is the newest thing that matters: before everything else. */
export function leakOf(): TemplateResult | typeof nothing {
  const leak = events.findLast(({ type }) => type === 'TokenLeaked')
  if (!leak) return nothing
  const { source = '', url = null } = leak.data as { source?: string; url?: string | null }
  return html`<section class="card callout bad" role="alert">
    <h2>${t('leakTitle')}</h2>
    <p>${t('leakWhere', { source, date: day(leak.at) })} ${url === null ? nothing : html`<code>${url}</code>`}</p>
    <p>${t('leakHint')}</p>
  </section>`
}

const thenShown = () =>
  then === null
    ? nothing
    : html`<div class="then" role="status">
        <h3>${t('asOfTitle', { date: moment(then.at) })}</h3>
        ${
          then.token === null
            ? html`<p>${t('asOfNothing')}</p>`
            : html`<p><b dir="auto">${then.token.name}</b> ${stateOf(then.token)}</p>
                ${facts(then.token, true)}`
        }
        <button
          type="button"
          @click=${() => {
            then = null
            redraw()
          }}
        >
          ${t('close')}
        </button>
      </div>`

const asOf = (token: Token) => html`
  <form
    class="inline-form"
    @submit=${(event: Event) => {
      event.preventDefault()
      if (chosen !== '') void lookAt(token.id, new Date(chosen).toISOString())
    }}
  >
    <label>
      <span>${t('asOf')}</span>
      <input
        type="datetime-local"
        required
        max=${localInput(new Date())}
        .value=${chosen}
        @input=${(event: Event) => {
          chosen = valueOf(event)
        }}
      />
    </label>
    <button type="submit">${t('show')}</button>
  </form>
`

function timeline(token: Token): TemplateResult {
  if (problem) return trouble(problem, () => void loadHistory(token.id))
  if (!isLoaded) return html`<p class="muted wait">${t('loading')}</p>`
  return html`${
    retired
      ? html`<p class="muted">
          ${count('retiredUses', retired.requests)} ${t('retiredLast', { date: moment(retired.last_at) })}
        </p>`
      : nothing
  }
    <ol class="timeline">${events.toReversed().map(entry(token.id))}</ol>
    ${
      next === null
        ? nothing
        : html`<button type="button" @click=${() => void loadHistory(token.id, true)}>${t('olderEvents')}</button>`
    }`
}

export const historyOf = (token: Token) => html`
  <section class="card" aria-labelledby="history">
    <div class="heading">
      <h2 id="history">${t('history')}</h2>
      ${asOf(token)}
    </div>
    ${thenShown()} ${timeline(token)}
  </section>
`
