import { day, t } from './format.ts'
import { html, nothing } from './lit.js'
import type { TokenEvent } from './store.ts'

/** Where a token was found, before everything else that is said of it. */
export function leakNotice(leak: TokenEvent | undefined) {
  if (!leak) return nothing
  const { source = '', url = null } = leak.data as { source?: string; url?: string | null }
  return html`<section class="card callout bad" role="alert">
    <h2>${t('leakTitle')}</h2>
    <p>${t('leakWhere', { source, date: day(leak.at) })} ${url === null ? nothing : html`<code>${url}</code>`}</p>
    <p>${t('leakHint')}</p>
  </section>`
}
