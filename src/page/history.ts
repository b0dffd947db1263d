import { place } from './address.ts'
import { ask, problemOf, tokenPath, type Problem } from './api.ts'
import { facts } from './facts.ts'
import { valueOf } from './fields.ts'
import { ago, count, eventText, exactly, localInput, moment, span, t } from './format.ts'
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
  retired = undefined
  next = null
  isLoaded = false
  problem = null
  then = null
  chosen = ''
}

/** The server tells the oldest first. Up to so many are read at once, so that the newest are on top at once. */
const READ_AT_ONCE = 1_000

export async function loadHistory(id: string, more = false): Promise<void> {
  const mine = ++turn
  const path = tokenPath(id, isOfAll(), '/events')
  let read = more ? events : []
  let cursor = more ? next : null
  const enough = read.length + READ_AT_ONCE
  try {
    do {
      const query = { limit: PAGE, cursor }
      const { body } = await ask<History>(path, { query })
      if (mine !== turn) return
      read = [...read, ...body.data]
      cursor = body.next_cursor
      retired = body.retired_secret_uses
    } while (cursor !== null && read.length < enough)
    events = read
    next = cursor
    isLoaded = true
    problem = null
  } catch (error) {
    if (mine !== turn) return
    problem = problemOf(error)
  }
  redraw()
}

async function lookAt(id: string, at: string): Promise<void> {
  let found: typeof then = { at, token: null }
  let fault: Problem | null = null
  try {
    const { body } = await ask<Token>(tokenPath(id, isOfAll()), { query: { at } })
    found = { at, token: body }
  } catch (error) {
    if (problemOf(error).status !== 404) fault = problemOf(error)
  }
  // Meanwhile another token may be shown.
  if (place.token !== id) return
  if (fault) problem = fault
  else then = found
  redraw()
}

const actorOf = ({ kind, id }: TokenEvent['actor']): string => (kind === 'system' ? t('actorSystem') : id)

/** What nobody reads, or what is said elsewhere. */
const HIDDEN = ['token_id', 'account_id', 'beside', 'remaining', 'revision', 'status', 'updated_at']
const LABELS: Record<string, () => string> = {
  name: () => t('name'),
  description: () => t('description'),
  scopes: () => t('scopes'),
  expires_at: () => t('expires'),
  allowed_ips: () => t('addresses'),
  metadata: () => t('metadata'),
  hint: () => t('hint'),
  rotatable: () => t('rotatable'),
  reason: () => t('reason'),
  days: () => t('daysLeft'),
  grace_seconds: () => t('graceTime'),
  activate: () => t('graceFrom'),
  on_first_use: () => t('firstUse'),
  now: () => t('atOnce'),
  created_at: () => t('createdAt'),
  last_accessed: () => t('lastUse'),
  old_id: () => t('oldId'),
  source: () => t('leakSource'),
  url: () => t('leakUrl'),
  type: () => t('leakType'),
}
const label = (name: string): string =>
  LABELS[name]?.() ?? name.replaceAll('_', ' ').replace(/^./, (first) => first.toUpperCase())

function shownValue(name: string, value: unknown): string {
  if (value === null && name === 'expires_at') return t('never')
  if (value === null && name === 'allowed_ips') return t('anywhere')
  if (value === null || value === undefined || value === false) return '–'
  if (name === 'grace_seconds') return span(Number(value))
  if (typeof value === 'string') {
    if (name === 'activate') return label(value)
    return /^\d{4}-\d\d-\d\dT/.test(value) ? moment(value) : value
  }
  if (value === true) return '✓'
  if (Array.isArray(value)) return value.join(', ') || t('none')
  return typeof value === 'object'
    ? Object.entries(value)
        .map(([member, one]) => `${member}: ${shownValue(member, one)}`)
        .join(', ')
    : JSON.stringify(value)
}

type Members = Record<string, unknown>

/** Each event with what the token was before it. All that is needed for that stands in the events before. */
function withBefore(all: readonly TokenEvent[]): { event: TokenEvent; before: Members }[] {
  let before: Members = {}
  return all.map((event) => {
    const one = { event, before }
    if (['TokenCreated', 'TokenImported', 'TokenUpdated'].includes(event.type))
      before = { ...before, ...event.data }
    return one
  })
}

const isNothing = (value: unknown): boolean =>
  value === null || value === false || JSON.stringify(value) === '{}'

/** Of a change, what was there before is told as well. */
const data = ({ type, data: members }: TokenEvent, before: Members) => {
  const isChange = type === 'TokenUpdated'
  const shown = Object.entries(members).filter(
    ([name, value]) => !HIDDEN.includes(name) && (isChange || !isNothing(value)),
  )
  const old = (name: string) =>
    html`<del><span class="hidden">${t('before')} </span>${shownValue(name, before[name])}</del> → `
  return shown.length === 0
    ? nothing
    : html`<dl class="data">
        ${shown.map(
          ([name, value]) => html`<div>
            <dt>${label(name)}</dt>
            <dd dir="auto">${isChange ? old(name) : nothing}${shownValue(name, value)}</dd>
          </div>`,
        )}
      </dl>`
}

/** Of a rotation that has ended, which of the two secrets is dead. */
const titleOf = ({ type, data: { status } }: TokenEvent): string =>
  type === 'TokenRotationEnded' ? t(status === 'pending' ? 'endedPending' : 'endedGrace') : eventText(type)

const entry =
  (id: string) =>
  ({ event, before }: { event: TokenEvent; before: Members }) =>
    html`
  <li class=${event.type}>
    <div class="what">
      <b>${titleOf(event)}</b> <span class="muted">${t('by', { who: actorOf(event.actor) })}</span>
    </div>
    <div class="when">
      <time datetime=${event.at} title=${ago(event.at)}>${exactly(event.at)}</time>
      <button type="button" class="link" @click=${() => void lookAt(id, event.at)}>
        ${t('asOf')}<span class="hidden"> ${exactly(event.at)}</span>
      </button>
    </div>
    ${data(event, before)}
  </li>
`

/** How long the older secret is accepted once the newer one of this hint is in use, in words; null: not known. */
export function graceOf(hint: string): string | null {
  const start = events.findLast(
    ({ type, data: members }) => type === 'TokenRotationStarted' && members.hint === hint,
  )
  return start ? span(Number(start.data.grace_seconds)) : null
}

export const newestLeak = (): TokenEvent | undefined => events.findLast(({ type }) => type === 'TokenLeaked')

const thenShown = () =>
  then === null
    ? nothing
    : html`<div class="then" role="status">
        <h3>${t('asOfTitle', { date: exactly(then.at) })}</h3>
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
      ? html`<p class="warning">
          ${count('retiredUses', retired.requests)} ${t('retiredLast', { date: exactly(retired.last_at) })}
        </p>`
      : nothing
  }
    ${
      next === null
        ? nothing
        : html`<p><button type="button" @click=${() => void loadHistory(token.id, true)}>${t('newerEvents')}</button></p>`
    }
    <ol class="timeline">
      ${withBefore(events).toReversed().map(entry(token.id))}
    </ol>`
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
