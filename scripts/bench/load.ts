import autocannon from 'autocannon'

export interface Load {
  url: string
  method?: 'GET' | 'POST'
  connections?: number
  amount: number
  /** Requests per second. Default: as many as are answered. */
  rate?: number
  body?: string
  /** Headers of the nth request. */
  headers: (n: number) => Record<string, string>
}

/** Sends `amount` requests. @returns requests per second. @throws if an answer is not 2xx */
export async function run({
  url,
  method = 'GET',
  connections = 10,
  amount,
  rate,
  body,
  headers,
}: Load): Promise<number> {
  let n = 0
  let answered = 0
  const started = performance.now()
  const options: autocannon.Options = {
    url,
    amount,
    connections,
    ...(rate !== undefined && { overallRate: rate }),
    requests: [
      {
        method,
        ...(body === undefined ? {} : { body }),
        setupRequest: (request) => ({ ...request, headers: headers(n++) }),
      },
    ],
  }
  const result = await new Promise<autocannon.Result>((resolve, reject) => {
    const instance = autocannon(options, (error, value) => (error ? reject(error) : resolve(value)))
    // autocannon reports its duration in whole seconds, so the time is taken here.
    instance.on('response', () => {
      answered = performance.now()
    })
  })
  if (result['2xx'] !== amount) {
    throw new Error(
      `${url}: ${result.non2xx} answers were not 2xx, ${result.errors} errors, ${result['2xx']} good`,
    )
  }
  return amount / ((answered - started) / 1000)
}
