import { follow, go, type Place, place } from './address.ts'
import { sparkline } from './bars.ts'
import { bulkBar } from './bulk.ts'
import { openCreate } from './create.ts'
import { valueOf } from './fields.ts'
import { count, number, t } from './format.ts'
import { html, nothing, type TemplateResult } from './lit.js'
import { expiryOf, lastUseOf, stateOf, trouble } from './parts.ts'
import { redraw, session, type Token } from './store.ts'
import { isOfAll, loadList, mayWrite, tokens } from './tokenList.ts'

const STATES: [string, () => string][] = [
  ['live', () => t('stateLive')],
  ['active', () => t('stateActive')],
  ['expired', () => t('stateExpired')],
  ['revoked', () => t('stateRevoked')],
  ['all', () => t('stateAll')],
]
const SORTS: [string, () => string][] = [
  ['-created_at', () => t('sortNewest')],
  ['created_at', () => t('sortOldest')],
  ['name', () => t('sortName')],
  ['-last_accessed', () => t('sortLastUse')],
  ['last_accessed', () => t('sortUnused')],
  ['expires_at', () => t('sortExpiry')],
]

const options = (list: [string, () => string][], chosen: string) =>
  list.map(([value, label]) => html`<option value=${value} ?selected=${value === chosen}>${label()}</option>`)

function counters(): TemplateResult | typeof nothing {
  const { counts } = tokens
  if (!counts) return nothing
  const one = (only: Place['only'], label: string, n: number | undefined) => html`
    <button
      type="button"
      class="counter"
      aria-pressed=${place.only === only && (only !== '' || place.status === 'live')}
      @click=${() => go({ only: place.only === only ? '' : only, status: 'live' })}
    >
      <span class="number">${n === undefined ? '–' : number(n)}</span>
      <span>${label}</span>
    </button>
  `
  return html`<div class="counters">
    ${one('', t('countLive'), counts?.live)} ${one('expiring', t('countExpiring'), counts?.expiring)}
    ${one('never', t('countNever'), counts?.never_expires)} ${one('unused', t('countUnused'), counts?.unused)}
  </div>`
}

/** A pause in typing after which is searched. */
const TYPING_MS = 250

let typing = 0
function search(event: Event): void {
  const q = valueOf(event)
  clearTimeout(typing)
  typing = window.setTimeout(() => go({ q }, false), TYPING_MS)
}

const toolbar = () => html`
  <div class="toolbar" role="search">
    <label class="grow">
      <span>${t('search')}</span>
      <input type="search" maxlength="100" .value=${place.q} @input=${search} />
    </label>
    <label>
      <span>${t('state')}</span>
      <select @change=${(event: Event) => go({ status: valueOf(event), only: '' })}>
        ${options(STATES, place.status)}
      </select>
    </label>
    <label>
      <span>${t('sort')}</span>
      <select @change=${(event: Event) => go({ sort: valueOf(event) })}>${options(SORTS, place.sort)}</select>
    </label>
  </div>
`

function selecting(token: Token) {
  const isSelected = tokens.selected.has(token.id)
  const toggle = () => {
    if (isSelected) tokens.selected.delete(token.id)
    else tokens.selected.add(token.id)
    redraw()
  }
  return token.status === 'revoked'
    ? nothing
    : html`<input
        type="checkbox"
        aria-label=${t('select', { name: token.name })}
        .checked=${isSelected}
        @change=${toggle}
      />`
}

const mayRevoke = (): boolean => session().can_write

const row = (token: Token) => html`
  <tr data-token=${token.id}>
    ${mayRevoke() ? html`<td class="check">${selecting(token)}</td>` : nothing}
    <td class="name">
      <a href="?token=${token.id}" dir="auto" @click=${(event: MouseEvent) => follow(event, { token: token.id })}
        >${token.name}</a
      >
      ${token.description === null ? nothing : html`<span class="sub" dir="auto">${token.description}</span>`}
      <code>${token.hint}</code>
    </td>
    <td data-label=${t('columnState')}>${stateOf(token)}</td>
    <td data-label=${t('columnLastUse')} class="use">
      <span>${lastUseOf(token)}</span>
      ${
        token.daily?.some((n) => n > 0)
          ? sparkline(
              token.daily,
              count(
                'usesDaily',
                token.daily.reduce((a, b) => a + b, 0),
              ),
            )
          : nothing
      }
    </td>
    <td data-label=${t('columnExpiry')}><span>${expiryOf(token)}</span></td>
    <td data-label=${isOfAll() ? t('columnAccount') : t('columnMadeBy')}>
      <span class="person" dir="auto">${isOfAll() ? token.account_id : token.created_by.id}</span>
    </td>
  </tr>
`

const whose = (): string => (isOfAll() ? t('everyone') : t('account', { account: session().account_id }))

const table = () => html`
  <table class="tokens">
    <caption class="hidden">${whose()}</caption>
    <thead>
      <tr>
        ${mayRevoke() ? html`<td class="check"></td>` : nothing}
        <th scope="col">${t('columnName')}</th>
        <th scope="col">${t('columnState')}</th>
        <th scope="col">${t('columnLastUse')}</th>
        <th scope="col">${t('columnExpiry')}</th>
        <th scope="col">${isOfAll() ? t('columnAccount') : t('columnMadeBy')}</th>
      </tr>
    </thead>
    <tbody>
      ${tokens.rows.map(row)}
    </tbody>
  </table>
`

const isFiltered = (): boolean => place.q !== '' || place.only !== '' || place.status !== 'live'

const nothingShown = () =>
  isFiltered()
    ? html`<div class="empty">
        <h2>${t('noMatch')}</h2>
        <p>${t('noMatchHint')}</p>
        <button type="button" @click=${() => go({ q: '', only: '', status: 'live' })}>${t('clearFilters')}</button>
      </div>`
    : html`<div class="empty">
        <h2>${t('empty')}</h2>
        <p>${t('emptyHint')}</p>
        ${mayWrite() ? html`<button type="button" class="primary" @click=${openCreate}>${t('newToken')}</button>` : nothing}
      </div>`

function body(): TemplateResult | typeof nothing {
  if (tokens.problem) return trouble(tokens.problem, () => void loadList())
  if (tokens.rows.length > 0) return table()
  return tokens.isLoading ? html`<p class="muted wait">${t('loading')}</p>` : nothingShown()
}

const everyone = () => html`
  <div class="switch">
    <button type="button" aria-pressed=${!place.all} @click=${() => go({ all: false })}>${t('mine')}</button>
    <button type="button" aria-pressed=${place.all} @click=${() => go({ all: true })}>${t('everyone')}</button>
  </div>
`

export const list = () => html`
  <div class="heading">
    <h1>${whose()}</h1>
    ${session().is_operator ? everyone() : nothing}
    ${mayWrite() ? html`<button type="button" class="primary" @click=${openCreate}>${t('newToken')}</button>` : nothing}
  </div>
  ${session().can_write ? nothing : html`<p class="lead">${t('readOnly')}</p>`}
  ${counters()} ${toolbar()} ${mayRevoke() ? bulkBar() : nothing}
  <section class="card flush" aria-busy=${tokens.isLoading}>${body()}</section>
  <div class="foot">
    <span class="muted" role="status">${tokens.rows.length === 0 ? '' : count('shown', tokens.rows.length)}</span>
    ${
      tokens.next === null
        ? nothing
        : html`<button type="button" ?disabled=${tokens.isLoading} @click=${() => void loadList(true)}>
            ${t('loadMore')}
          </button>`
    }
  </div>
`
