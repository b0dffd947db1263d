/** A pause that others can end. */
export interface Pause {
  /** Resolves after so many milliseconds, or when somebody wakes; at once, if somebody has since the last pause. */
  pause(ms: number): Promise<void>
  wake(): void
}

export function createPause(): Pause {
  let isWoken = false
  let end = (): void => {}
  return {
    pause: (ms) =>
      new Promise((resolve) => {
        end = () => {
          clearTimeout(timer)
          isWoken = false
          end = () => {}
          resolve()
        }
        const timer = setTimeout(() => end(), ms)
        timer.unref()
        if (isWoken) end()
      }),
    wake() {
      isWoken = true
      end()
    },
  }
}
