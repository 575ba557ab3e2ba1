#!/usr/bin/python3
"""Serves index.html, and the functions of schema app as JSON.

GET /app/FUNCTION?argument=value is SELECT * FROM app.FUNCTION(argument => 'value').
The database is that of PGHOST, PGDATABASE, ...; the argument is the port.
"""

import http.server
import json
import pathlib
import sys
import threading
import time
import urllib.parse

import psycopg2
from psycopg2.sql import SQL, Identifier

PAGE = pathlib.Path(__file__).with_name('index.html')


class Database:
    """A connection that is kept, and opened anew after it broke."""

    def __init__(self):
        self.lock = threading.Lock()
        self.connection = None

    def call(self, function, arguments):
        """The rows of a function, as JSON, and how many seconds they took."""
        if not all(name.isidentifier() for name in (function, *arguments)):
            raise ValueError('There is no such function.')
        query = SQL("SELECT coalesce(json_agg(r), '[]')::text FROM app.{}({}) r").format(
            Identifier(function),
            SQL(', ').join(SQL('{} => %s').format(Identifier(name)) for name in arguments))
        with self.lock:
            if self.connection is None or self.connection.closed:
                self.connection = psycopg2.connect('')
                self.connection.autocommit = True
            begin = time.perf_counter()
            with self.connection.cursor() as cursor:
                cursor.execute(query, list(arguments.values()))
                return cursor.fetchone()[0], time.perf_counter() - begin


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    database = Database()

    def handle(self):
        """Requests of a browser, until it leaves."""
        try:
            super().handle()
        except ConnectionError:
            pass

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == '/':
            self.answer(200, 'text/html; charset=utf-8', PAGE.read_bytes())
        elif url.path.startswith('/app/'):
            self.call(url.path[len('/app/'):], dict(urllib.parse.parse_qsl(url.query, True)))
        else:
            self.answer(404, 'text/plain', b'not found\n')

    def call(self, function, arguments):
        seconds = 0
        try:
            body, seconds = self.database.call(function, arguments)
            status = 200
        except (psycopg2.Error, ValueError) as error:
            said = getattr(error, 'diag', None)
            body = json.dumps({'message': getattr(said, 'message_primary', None) or str(error),
                               'hint': getattr(said, 'message_hint', None)})
            status = 503 if isinstance(error, psycopg2.OperationalError) else 400
        self.answer(status, 'application/json', body.encode(), seconds)

    def answer(self, status, content_type, body, seconds=0.0):
        self.send_response(status)
        self.send_header('Content-Type', content_type)
        self.send_header('Content-Length', str(len(body)))
        self.send_header('Cache-Control', 'no-store')
        self.send_header('Server-Timing', f'database;dur={seconds * 1000:.1f}')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing of each request."""


def listen(port):
    """A server for this machine alone; port 0 is one that is free."""
    return http.server.ThreadingHTTPServer(('127.0.0.1', port), Handler)


if __name__ == '__main__':
    with listen(int(sys.argv[1])) as page:
        print(f'Open http://localhost:{page.server_port}/ in a browser; Ctrl-C ends it.', flush=True)
        try:
            page.serve_forever()
        except KeyboardInterrupt:
            pass
