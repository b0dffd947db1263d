import { connect } from 'node:net'
import { assertDescribed } from './described.ts'

export interface RawAnswer {
  status: number
  headers: Headers
  text: string
}

/**
 * Writes bytes to the service and reads until it closes the connection.
 * @param isCutOff nothing comes behind them: the service is told. Of a whole request it is not, since Node answers
 * nobody who has ended before the answer was begun.
 */
export function exchange(url: string, request: string | Buffer, isCutOff = false): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port) })
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // The service may close while we still write. What it has sent before counts.
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error)
    })
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')))
    socket.write(typeof request === 'string' ? Buffer.from(request, 'latin1') : request)
    if (isCutOff) socket.end()
  })
}

/** The answers in the bytes that came back, separated by their lengths. None if the connection was closed silently. */
export function answersIn(received: string): RawAnswer[] {
  const answers: RawAnswer[] = []
  for (let rest = received; rest !== ''; ) {
    const end = rest.indexOf('\r\n\r\n')
    const [statusLine = '', ...lines] = rest.slice(0, end).split('\r\n')
    if (end < 0 || !/^HTTP\/1\.1 \d{3}/.test(statusLine)) throw new Error(`not HTTP: ${rest.slice(0, 200)}`)
    const headers = new Headers(lines.map((line) => splitAt(line, ':')))
    const status = Number(statusLine.slice(9, 12))
    const length = Number(headers.get('content-length') ?? 0)
    const text = rest.slice(end + 4, end + 4 + length)
    rest = rest.slice(end + 4 + length)
    if (status >= 200) answers.push({ status, headers, text: Buffer.from(text, 'latin1').toString('utf8') })
  }
  return answers
}

/** One request with headers that a proper client would not send: doubled, empty, or with odd bytes. */
export async function sendRaw(
  url: string,
  method: string,
  target: string,
  headers: readonly (readonly [name: string, value: string])[],
): Promise<RawAnswer> {
  const fields = [['Host', 'test'], ['Connection', 'close'], ...headers].map(
    ([name, value]) => `${name}: ${value}`,
  )
  const received = await exchange(url, `${method} ${target} HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n`)
  const [answer] = answersIn(method === 'HEAD' ? withoutLength(received) : received)
  if (!answer) throw new Error(`no answer to ${method} ${target}`)
  await assertDescribed(url, method, target, answer)
  return answer
}

const withoutLength = (received: string): string => received.replace(/^Content-Length:.*\r\n/im, '')

const splitAt = (line: string, mark: string): [string, string] => {
  const at = line.indexOf(mark)
  return [line.slice(0, at), line.slice(at + 1).trim()]
}
