import { ApiError, problemOf } from './api.ts'
import { t } from './format.ts'
import { html, nothing, render, type TemplateResult } from './lit.js'
import { say } from './store.ts'
import type { PageTexts } from './texts.ts'

export interface Dialog {
  /** Draws the dialog anew. */
  redraw(): void
  close(): void
  /** Does some work with all buttons off, and shows what went wrong. */
  work(doing: () => Promise<void>): Promise<void>
  isBusy(): boolean
  error(): TemplateResult | typeof nothing
  /** Has the server refused this member of the input? By its JSON pointer. */
  isWrong(pointer: string): boolean
  fail(text: string): void
}

interface DialogOptions {
  title: string
  /** Is it left only by what the dialog itself has for it? Default: Escape closes it. */
  isHeld?: boolean
  onClose?: () => void
}

let made = 0

/** Opens a dialog over the page. When it closes, focus is where it was, unless `onClose` moves it. */
export function openDialog(options: DialogOptions, content: (dialog: Dialog) => TemplateResult): void {
  const element = document.createElement('dialog')
  const titleId = `dialog-${++made}`
  element.setAttribute('aria-labelledby', titleId)
  element.toggleAttribute('data-held', options.isHeld === true)
  const before = document.activeElement
  let isBusy = false
  let failure: string | null = null
  let wrong = new Set<string>()

  const dialog: Dialog = {
    redraw() {
      // The session may have ended, and the dialog with it.
      if (element.isConnected)
        render(html`<h2 id=${titleId}>${options.title}</h2>${content(dialog)}`, element)
    },
    close: () => element.close(),
    isBusy: () => isBusy,
    error: () => (failure === null ? nothing : html`<span class="error" role="alert">${failure}</span>`),
    isWrong: (pointer) => wrong.has(pointer),
    fail(text) {
      failure = text
      dialog.redraw()
    },
    async work(doing) {
      if (isBusy) return
      isBusy = true
      failure = null
      wrong = new Set()
      dialog.redraw()
      try {
        await doing()
      } catch (error) {
        failure = messageOf(error)
        wrong = new Set(problemOf(error).errors.map(({ pointer }) => pointer))
      }
      isBusy = false
      dialog.redraw()
      const refused = element.querySelector<HTMLElement>('[aria-invalid=true]')
      refused?.focus()
      // With what is said of it.
      refused?.closest('.field')?.scrollIntoView({ block: 'nearest' })
    },
  }

  element.addEventListener('cancel', (event) => {
    if (options.isHeld || isBusy) event.preventDefault()
  })
  // Browsers let a second Escape through whatever the first one met.
  element.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && (options.isHeld || isBusy)) event.preventDefault()
  })
  element.addEventListener('close', () => {
    render(nothing, element)
    element.remove()
    if (before instanceof HTMLElement && before.isConnected) before.focus()
    options.onClose?.()
  })
  document.body.append(element)
  dialog.redraw()
  element.showModal()
  element.querySelector<HTMLElement>('[autofocus]')?.focus()
}

const REFUSALS: Partial<Record<string, keyof PageTexts>> = {
  precondition_failed: 'changedMeanwhile',
  no_such_rotation: 'changedMeanwhile',
  rotation_under_way: 'rotationUnderWay',
  token_revoked: 'revokedMeanwhile',
  not_found: 'tokenGone',
  conflict: 'busy',
  validation_failed: 'inputWrong',
  scope_not_grantable: 'scopeNotYours',
  token_limit_reached: 'tooManyTokens',
  rate_limited: 'tooFast',
  read_only: 'readOnly',
}

/** What went wrong, for people. */
export function messageOf(error: unknown): string {
  const { status, code, detail } = problemOf(error)
  if (!(error instanceof ApiError)) return t('failed')
  if (status === 0) return t('uncertain')
  if (status === 503) return t('busy')
  const refusal = REFUSALS[code]
  if (refusal) return t(refusal)
  return detail === '' ? t('failed') : t('failedDetail', { detail })
}

/** Does it, or, where somebody else was faster, closes the dialog, says so, and shows the token as it is now. */
export async function orStale(doing: () => Promise<void>, dialog: Dialog, reread: () => void): Promise<void> {
  try {
    await doing()
  } catch (error) {
    if (!(error instanceof ApiError) || error.problem.code !== 'precondition_failed') throw error
    dialog.close()
    say(t('changedMeanwhile'))
    reread()
  }
}
