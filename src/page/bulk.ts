import { problemOf } from './api.ts'
import { openDialog } from './dialog.ts'
import { count, t } from './format.ts'
import { html, nothing } from './lit.js'
import { lastUseOf } from './parts.ts'
import { reasonField, revokeToken } from './revoke.ts'
import { redraw, say, type Token } from './store.ts'
import { focusRow, isOfAll, loadList, tokens } from './tokenList.ts'

const chosen = (): Token[] => tokens.rows.filter(({ id }) => tokens.selected.has(id))

function clear(): void {
  tokens.selected.clear()
  redraw()
}

/** What can be done with the selected tokens. */
export const bulkBar = () =>
  tokens.selected.size === 0
    ? nothing
    : html`<div class="bulk">
        <span role="status">${count('selected', tokens.selected.size)}</span>
        <button type="button" @click=${clear}>${t('clearSelection')}</button>
        <button type="button" class="danger" @click=${openBulk}>${t('revokeSelected')}</button>
      </div>`

function openBulk(): void {
  const going = chosen()
  const isOperator = isOfAll()
  let reason = ''
  let done = 0
  openDialog({ title: count('bulkTitle', going.length) }, (dialog) => {
    const revoke = async () => {
      let failed = 0
      const first = tokens.rows.findIndex(({ id }) => tokens.selected.has(id))
      for (const { id } of going) {
        try {
          await revokeToken(id, isOperator, reason)
          tokens.selected.delete(id)
          done += 1
        } catch (error) {
          if (problemOf(error).status === 401) throw error
          failed += 1
        }
        dialog.redraw()
      }
      dialog.close()
      say([count('bulkDone', done), failed > 0 ? count('bulkFailed', failed) : ''].join(' '))
      await loadList()
      requestAnimationFrame(() => focusRow('', first))
    }
    return html`
      <p>${t('bulkHint')}</p>
      <ul class="plain going" tabindex="0">
        ${going.map(
          (token) =>
            html`<li><b dir="auto">${token.name}</b> <code>${token.hint}</code> ${lastUseOf(token)}</li>`,
        )}
      </ul>
      ${reasonField((text) => {
        reason = text
      })}
      <p role="status">${dialog.isBusy() ? t('bulkProgress', { done, n: going.length }) : ''}</p>
      <p class="actions">${dialog.error()}
        <button type="button" autofocus @click=${dialog.close}>${t('cancel')}</button>
        <button type="button" class="danger" ?disabled=${dialog.isBusy()} @click=${() => void dialog.work(revoke)}>
          ${t('revoke')}
        </button>
      </p>
    `
  })
}
