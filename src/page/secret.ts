import { openDialog } from './dialog.ts'
import { t } from './format.ts'
import { html, nothing } from './lit.js'
import { shared, type Token } from './store.ts'

/**
 * Shows a secret, once. It is left only after "I have stored it", so that no slip of a finger loses it. From then on it
 * is nowhere in the page.
 */
export function showSecret(token: Token, secret: string, onDone: () => void): void {
  let held: string | null = secret
  let isStored = false
  let copying: 'not' | 'copied' | 'failed' = 'not'
  const { try_url: tryUrl, token_header: header } = shared.config

  openDialog(
    {
      title: t('secretTitle'),
      isHeld: true,
      onClose() {
        held = null
        onDone()
      },
    },
    (dialog) => {
      const copy = async (text: string) => {
        copying = await navigator.clipboard.writeText(text).then(
          () => 'copied' as const,
          () => 'failed' as const,
        )
        if (copying === 'failed') document.querySelector<HTMLTextAreaElement>('#secret')?.select()
        dialog.redraw()
      }
      const store = (event: Event) => {
        isStored = (event.target as HTMLInputElement).checked
        dialog.redraw()
      }
      const url = tryUrl === null ? null : new URL(tryUrl, location.href).href
      return html`
        <p><b dir="auto">${token.name}</b></p>
        <p>${t('secretOnce')}</p>
        <label for="secret">${t('secret')}</label>
        <div class="copy">
          <textarea
            id="secret"
            class="mono"
            rows="2"
            readonly
            autocomplete="off"
            spellcheck="false"
            .value=${held ?? ''}
            @focus=${(event: Event) => (event.target as HTMLTextAreaElement).select()}
          ></textarea>
          <button type="button" class="primary" autofocus @click=${() => void copy(held ?? '')}>${t('copy')}</button>
        </div>
        <p role="status" class=${copying === 'failed' ? 'error' : 'good'}>
          ${copying === 'copied' ? t('copied') : copying === 'failed' ? t('copyFailed') : ''}
        </p>
        ${
          url === null || held === null
            ? nothing
            : html`<details>
                <summary>${t('tryIt')}</summary>
                <pre tabindex="0">${`curl -i ${url} -H '${header}: ${held}'`}</pre>
              </details>`
        }
        <label class="choice">
          <input type="checkbox" .checked=${isStored} @change=${store} />
          <span>${t('stored')}</span>
        </label>
        <p class="actions">
          <button type="button" class=${isStored ? 'primary' : ''} ?disabled=${!isStored} @click=${dialog.close}>
            ${t('done')}
          </button>
        </p>
      `
    },
  )
}
